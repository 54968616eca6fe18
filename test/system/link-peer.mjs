// A server of agents' links on npm ws, for the test `link`: another implementation of WebSockets at the other end.
// link-peer.mjs NODE_MODULES CERT KEY prints the ports of ws and wss, then a line of JSON for each thing that happens.
// It answers the hello in pieces, pings, wants topics, acknowledges events, and sends one command.
import http from "node:http";
import https from "node:https";
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const { WebSocketServer } = require("ws");
const say = (o) => console.log(JSON.stringify(o));
const wss = new WebSocketServer({
  noServer: true, perMessageDeflate: true, maxPayload: 1 << 20,
  handleProtocols: (set) => set.has("bagpipe-link.1") ? "bagpipe-link.1" : false,
});
const filler = "x".repeat(100000);

function onMessage(ws, data, isBinary) {
  const m = JSON.parse(data.toString());
  const key = Object.keys(m)[0];
  say({ key, binary: isBinary, bytes: data.length, m: key === "topics" ? {} : m });
  if (key === "hello") {
    const text = JSON.stringify({ welcome: { version: "peer", acknowledged: m.hello.resume, interval_s: 0.2, window: 8, filler } });
    ws.send(text.slice(0, 10), { fin: false });
    ws.ping("between");
    ws.send(text.slice(10, 70000), { fin: false });
    ws.send(text.slice(70000), { fin: true });
    ws.send(JSON.stringify({ of_a_later_version: 1 }));
    ws.send(JSON.stringify({ want: { topics: true } }));
    ws.send(JSON.stringify({ command: { id: "01M8HYWXGJE10N8TWYKZHV7T7V", name: "session.list", role: "viewer", args: { limit: 5 }, within_s: 9 } }));
  } else if (key === "events") {
    ws.send(JSON.stringify({ ack: m.events.at(-1).seq }));
  }
}

function serve(server) {
  server.on("upgrade", (req, socket, head) => {
    socket.on("error", () => {});
    wss.handleUpgrade(req, socket, head, (ws) => {
      say({ key: "open", auth: req.headers.authorization ?? null, extensions: req.headers["sec-websocket-extensions"] ?? null,
            secure: socket.encrypted ?? false, tls: socket.getProtocol?.() ?? null });
      ws.on("error", (e) => say({ key: "error", text: String(e) }));
      ws.on("pong", (d) => say({ key: "pong", text: d.toString() }));
      ws.on("close", (code) => say({ key: "close", code }));
      ws.on("message", (d, b) => onMessage(ws, d, b));
    });
  });
  return new Promise((r) => server.listen(0, "127.0.0.1", () => r(server.address().port)));
}

const tls = { cert: fs.readFileSync(process.argv[3]), key: fs.readFileSync(process.argv[4]) };
say({ ws: await serve(http.createServer()), wss: await serve(https.createServer(tls)) });
