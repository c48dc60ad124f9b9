# The gateway alone. Its data (keys, jobs, artifacts) lives in the volume /data.
FROM oven/bun:1.4.5 AS packages
WORKDIR /app
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production --ignore-scripts

FROM oven/bun:1.4.5
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json bunfig.toml tsconfig.json LICENSE ./
COPY config ./config
COPY core ./core
COPY plugins ./plugins
RUN mkdir /data && chown bun:bun /data
USER bun
ENV NODE_ENV=production SWITCHYARD_HOST=0.0.0.0 SWITCHYARD_PORT=1301 SWITCHYARD_DATA=/data
VOLUME /data
EXPOSE 1301
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
  CMD ["bun", "-e", "const r = await fetch('http://127.0.0.1:1301/health'); process.exit(r.ok ? 0 : 1)"]
# Bun is the first process and gets SIGTERM itself: the gateway drains before it stops.
CMD ["bun", "core/main.ts"]
