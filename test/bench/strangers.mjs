// Strangers on the AWS endpoint, in a process of their own: 10 000 connections from many addresses, as many of each kind, opened again as they
// are closed. Usage: node strangers.mjs PORT REGION KIND… ; runs until its parent disconnects, and tells it each second how many are open.
import { connect } from 'node:net';
import aws4 from 'aws4';

const [port, region, ...kinds] = process.argv.slice(2);
const wanted = 10_000;
const addresses = 64;
const opensEveryMs = 20;
/** 5000 a second until so many were opened, then 1000 a second. */
const atFirst = 100;
const later = 20;

/** The headers of a request that claims to be somebody's. */
function claimed(framing) {
  const { headers } = aws4.sign(
    {
      host: `127.0.0.1:${port}`,
      method: 'POST',
      path: '/',
      service: 'kms',
      region,
      body: '',
      headers: { 'X-Amz-Target': 'TrentService.Encrypt' },
      extraHeadersToIgnore: { 'content-length': true },
    },
    { accessKeyId: 'AKIAHOSTILEHOSTILE', secretAccessKey: 'guess' },
  );
  const lines = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'content-length');
  return ['POST / HTTP/1.1', ...lines.map((pair) => pair.join(': ')), framing, '\r\n'].join('\r\n');
}

/** Each is written once and sent over and over. */
const says = {
  idle: () => '',
  // As many as fit, and the last one never ends.
  headers: () =>
    `POST / HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 60 }, (_, n) => `x-${n}: ${'y'.repeat(250)}\r\n`).join('')}x: `,
  body: () => claimed('Content-Length: 16384') + ' '.repeat(16_383),
  chunks: () => claimed('Transfer-Encoding: chunked') + '1\r\nx\r\n'.repeat(1_000_000),
};

const sent = new Map(kinds.map((kind) => [kind, Buffer.from(says[kind](), 'latin1')]));
let open = 0;
let closed = 0;
let opened = 0;

function start() {
  const kind = kinds[opened % kinds.length];
  const localAddress = `127.0.0.${2 + (opened % addresses)}`;
  opened += 1;
  open += 1;
  const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress }, () => {
    const bytes = sent.get(kind);
    if (bytes.length > 0) socket.write(bytes);
  });
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  socket.on('close', () => {
    open -= 1;
    closed += 1;
  });
}

setInterval(() => {
  for (let n = 0; n < (opened < wanted ? atFirst : later) && open < wanted; n++) start();
}, opensEveryMs);
setInterval(() => process.send?.({ open, opened, closed }), 500);
process.on('disconnect', () => process.exit());
