/** The least that a proxy on Bun can be: `Bun.serve` and `fetch`, no checks. `<target url>`. */
const [target = ""] = process.argv.slice(2);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const answer = await fetch(target, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: await request.text(),
    });
    return new Response(await answer.text(), { headers: { "content-type": "application/json" } });
  },
});
console.log(`listening ${server.url}`);
