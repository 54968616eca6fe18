// The same as test/system/ws-probe.c on npm ws: /ws echoes, /feed gets what POST /start publishes.
// ws-peer.mjs NODE_MODULES prints its port. MAX_PAYLOAD as the probe's.
import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const { WebSocketServer, WebSocket } = require("ws");

const MAX_PAYLOAD = 1 << 20;
const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD });
const feed = new Set();

function publish(rate, size, seconds, done) {
  const begin = process.hrtime.bigint(), n = rate * seconds;
  let i = 0;
  const turn = () => {
    const due = Math.min(n, Math.floor(Number(process.hrtime.bigint() - begin) / 1e9 * rate) + 1);
    for (; i < due; i++) {
      const m = Buffer.alloc(size, "x");
      m.writeBigUInt64LE(BigInt(i), 0);
      m.writeBigUInt64LE(begin + BigInt(Math.floor(i * 1e9 / rate)), 8);
      for (const ws of feed) if (ws.readyState === WebSocket.OPEN) ws.send(m, { binary: true });
    }
    if (i < n) setTimeout(turn, 1);
    else done();
  };
  turn();
}

const server = http.createServer((req, res) => {
  const url = new URL(req.url, "http://localhost");
  if (req.method !== "POST" || url.pathname !== "/start") return res.writeHead(404).end();
  const get = (k) => Number(url.searchParams.get(k));
  publish(get("rate"), get("size"), get("seconds"), () => res.writeHead(200).end("{}"));
});

server.on("upgrade", (req, socket, head) => {
  socket.on("error", () => {});
  wss.handleUpgrade(req, socket, head, (ws) => {
    ws.on("error", () => {});
    if (req.url.startsWith("/feed")) {
      feed.add(ws);
      ws.on("close", () => feed.delete(ws));
      ws.on("message", () => {});
    } else {
      ws.on("message", (data, binary) => ws.send(data, { binary }));
    }
  });
});
server.listen(0, "127.0.0.1", 4096, () => console.log(server.address().port));
process.on("SIGTERM", () => process.exit(0));
