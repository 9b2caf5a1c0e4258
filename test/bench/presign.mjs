// Requests signed beforehand, Encrypt's if nothing else is said, as a Lua table for wrk: the load generator then costs little and signs nothing.
import aws4 from 'aws4';

const encryptInput = (keyId, bytes) => ({ KeyId: keyId, Plaintext: bytes });

/**
 * A wrk script that sends `count` different signed requests in turn, and waits between them `pauseMs` on average. Signatures hold for
 * five minutes. `inputOf`: of 32 bytes in base64.
 */
export function wrkScript({
  port,
  region,
  credentials,
  keyId,
  count,
  pauseMs,
  operation = 'Encrypt',
  inputOf = encryptInput,
}) {
  const requests = [];
  for (let i = 0; i < count; i++) {
    const plaintext = Buffer.alloc(32, i % 251);
    plaintext.writeUInt32BE(i);
    const body = JSON.stringify(inputOf(keyId, plaintext.toString('base64')));
    const headers = { 'Content-Type': 'application/x-amz-json-1.1', 'X-Amz-Target': `TrentService.${operation}` };
    const host = `127.0.0.1:${port}`;
    const signed = aws4.sign({ host, method: 'POST', path: '/', service: 'kms', region, body, headers }, credentials);
    const lines = Object.entries(signed.headers).map(([name, value]) => `${name}: ${value}`);
    requests.push(JSON.stringify(`POST / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`));
  }
  const pause = pauseMs === 0 ? '' : `delay = function()\n  return math.random(0, ${Math.round(2 * pauseMs)})\nend\n`;
  return `local requests = {\n${requests.join(',\n')}\n}\nlocal n = 0\nrequest = function()\n  n = n % #requests + 1\n  return requests[n]\nend\n${pause}`;
}
