/** @fastify/http-proxy in front of a target: `<target url>`; prints the port. */
import proxy from "@fastify/http-proxy";
import fastify from "fastify";

const app = fastify();
await app.register(proxy, { upstream: process.argv[2] });
await app.listen({ host: "127.0.0.1", port: 0 });
console.log(`listening ${app.server.address().port}`);
