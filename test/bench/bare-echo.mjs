// What Node itself costs: parses a JSON body and answers JSON of the size of an Encrypt response. Checks, stores and audits nothing.
import { createServer } from 'node:http';

const answer = JSON.stringify({
  CiphertextBlob: Buffer.alloc(82).toString('base64'),
  KeyId: 'arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000',
  EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
});

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const input = JSON.parse(Buffer.concat(chunks).toString());
    const text = input.KeyId === undefined ? '{}' : answer;
    response.writeHead(200, {
      'Content-Type': 'application/x-amz-json-1.1',
      'Content-Length': Buffer.byteLength(text),
    });
    response.end(text);
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
process.on('disconnect', () => process.exit(0));
