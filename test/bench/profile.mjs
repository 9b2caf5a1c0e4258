// Adds up V8 CPU profiles by the part of the line that each function belongs to.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const parts = [
  ['authentication (SigV4)', /dist\/authn\//],
  ['façade: HTTP in and out, JSON', /dist\/facades\//],
  ['line, operation, policy', /dist\/(pipeline|operations|policy|model)\//],
  ['audit: record, chain, commit', /dist\/(audit|kernel\/disk)/],
  ['store (cache)', /dist\/store\//],
  ['token client and host: frames, cipher', /dist\/token\//],
  ['pkcs11js and the token', /pkcs11js/],
  ['node: http parser and server', /node:(_http|internal\/http|http)/],
  ['node: sockets and streams', /node:(net|internal\/stream|internal\/js_stream|stream|dgram)/],
  ['node: crypto', /node:(crypto|internal\/crypto)/],
  ['node: file system', /node:(fs|internal\/fs)/],
  ['node: events, timers, promises, buffers', /^node:/],
];
/** Native functions that JavaScript calls by name. */
const nativeParts = [
  ['native: socket writes', /^write(v|Buffer|Utf8String|Latin1String|AsciiString)$/],
  ['native: file system', /^(fdatasync|openFileHandle|open|close|read|fstat|lstat|link|FSReqCallback|writeString)$/],
  ['native: regular expressions', /^RegExp/],
  ['native: text and buffers', /^(utf8|base64|hex|latin1|ascii)|isUtf8|^parse$|^stringify$|toString/],
  ['native: crypto', /^(oneShotDigest|update|digest|timingSafeEqual|Hmac|Hash)$/],
];
const natives = {
  '(garbage collector)': 'garbage collector',
  '(program)': 'native: system calls, libuv, native modules',
  '(idle)': undefined,
  '(root)': undefined,
};

function partOf(frame) {
  if (frame.functionName in natives) return natives[frame.functionName];
  const found = parts.find(([, pattern]) => pattern.test(frame.url));
  if (found !== undefined) return found[0];
  if (frame.url !== '') return 'other JavaScript';
  return nativeParts.find(([, pattern]) => pattern.test(frame.functionName))?.[0] ?? 'native: other';
}

function add(file, totals) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8'));
  const byId = new Map(nodes.map((node) => [node.id, partOf(node.callFrame)]));
  samples.forEach((id, i) => {
    const part = byId.get(id);
    if (part !== undefined) totals.set(part, (totals.get(part) ?? 0) + timeDeltas[i]);
  });
  return nodes.some((node) => /dist\/token\/host\//.test(node.callFrame.url)) ? 'token-host' : 'other';
}

/** Rows [part, µs per request in the gateway, µs per request in the token host], dearest first, what is below 0.3 µs lumped. */
export function profileTable(folder, requests) {
  const gateway = new Map();
  const tokenHost = new Map();
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.cpuprofile'))) {
    const totals = new Map();
    const role = add(join(folder, name), totals);
    const isGateway = totals.has('authentication (SigV4)');
    if (role !== 'token-host' && !isGateway) continue;
    const target = role === 'token-host' ? tokenHost : gateway;
    for (const [part, us] of totals) target.set(part, (target.get(part) ?? 0) + us / requests);
  }
  const names = [...new Set([...gateway.keys(), ...tokenHost.keys()])];
  const rows = names.map((name) => [name, gateway.get(name) ?? 0, tokenHost.get(name) ?? 0]);
  const large = rows.filter(([, a, b]) => a + b >= 0.3).sort((x, y) => y[1] + y[2] - x[1] - x[2]);
  const small = rows.filter(([, a, b]) => a + b < 0.3);
  const sum = (list, i) => list.reduce((total, row) => total + row[i], 0);
  return [...large, ['everything else', sum(small, 1), sum(small, 2)], ['**sum**', sum(rows, 1), sum(rows, 2)]];
}
