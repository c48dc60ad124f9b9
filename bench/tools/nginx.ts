/**
 * nginx, twice: as the stub that everything is asked of, and as the proxy that is compared with.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GATEWAY_CPU, LOAD_CPU } from "./gateway.ts";
import { freePort, type Program, type Stage, until } from "./stage.ts";

/** A chat answer of 401 bytes. */
const ANSWER = JSON.stringify({
  id: "chatcmpl-000000000000",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "dummy",
  choices: [{ index: 0, message: { role: "assistant", content: "" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 9, completion_tokens: 12, total_tokens: 21 },
});
const SIZE_BYTES = 401;
export const STUB_ANSWER = ANSWER.replace(
  '"content":""',
  `"content":"${"Hello there. ".repeat(40).slice(0, SIZE_BYTES - ANSWER.length)}"`,
);

export interface Nginx extends Program {
  readonly url: string;
}

/** `return 200` with the answer, on the load generator's CPU. */
export function startStub(stage: Stage): Promise<Nginx> {
  return startNginx(stage, LOAD_CPU, (port) =>
    http(`server {
    listen 127.0.0.1:${port};
    location / { default_type application/json; return 200 '${STUB_ANSWER}'; }
  }`),
  );
}

/** `proxy_pass` with kept connections on both sides, on the gateway's CPU. */
export function startProxy(stage: Stage, target: string): Promise<Nginx> {
  return startNginx(stage, GATEWAY_CPU, (port) =>
    http(`upstream stub { server ${new URL(target).host}; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }`),
  );
}

/** Without `keepalive_requests` nginx closes each connection after 1,000 requests. */
function http(servers: string): string {
  return `worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  ${servers}
}
`;
}

async function startNginx(
  stage: Stage,
  cpu: number,
  config: (port: number) => string,
): Promise<Nginx> {
  const folder = stage.folder();
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const file = join(folder, "nginx.conf");
  writeFileSync(file, config(port));
  // "master_process off": one process, so that ending it ends everything.
  const program = stage.start(
    ["nginx", "-p", folder, "-e", "stderr", "-c", file, "-g", "master_process off;"],
    { cpu, env: { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` } },
  );
  const url = `http://127.0.0.1:${port}`;
  await until(`nginx answers on ${url}`, async () => {
    if (program.child.exitCode !== null) throw new Error(program.output());
    return fetch(url).then(
      (answer) => answer.ok,
      () => false,
    );
  });
  return { ...program, url };
}
