// What 10 000 hostile connections come to: the gateway's memory at its most, and whether somebody who signs well is still served, on a connection
// that he keeps and on new ones.
import { fork } from 'node:child_process';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { residentMb } from './processes.mjs';

const kinds = ['idle', 'headers', 'body', 'chunks'];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One row for each kind, and one for all at once: { kind, before, most, open, opened, kept, fresh }; memory in MB, calls in ms and failures. */
export async function hostile({ env, gateway, keyId, seconds }) {
  const rows = [];
  for (const kind of [...kinds, kinds.join('+')]) rows.push(await attack(kind.split('+')));
  return rows;

  async function attack(these) {
    const before = residentMb(gateway);
    const strangers = fork(join(import.meta.dirname, 'strangers.mjs'), [
      new URL(env.AWS_ENDPOINT_URL_KMS).port,
      env.AWS_REGION,
      ...these,
    ]);
    let counts = { open: 0, opened: 0, closed: 0 };
    let most = 0;
    strangers.on('message', (message) => (counts = message));
    const kept = caller(true);
    const fresh = caller(false);
    for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
      await Promise.all([kept.call(), fresh.call()]);
      most = Math.max(most, residentMb(gateway));
      await sleep(100);
    }
    strangers.kill('SIGKILL');
    await new Promise((resolve) => strangers.once('exit', resolve));
    await sleep(1000);
    return { kind: these.join(', '), before, most, ...counts, kept: kept.result(), fresh: fresh.result() };
  }

  function caller(keepAlive) {
    const client = new KMSClient({
      endpoint: env.AWS_ENDPOINT_URL_KMS,
      region: env.AWS_REGION,
      credentials: { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY },
      maxAttempts: 1,
      requestHandler: { httpAgent: new Agent({ keepAlive }), requestTimeout: 5000, throwOnRequestTimeout: true },
    });
    const took = [];
    let failed = 0;
    return {
      call: async () => {
        const at = performance.now();
        try {
          await client.send(new EncryptCommand({ KeyId: keyId, Plaintext: Buffer.alloc(32) }));
          took.push(performance.now() - at);
        } catch {
          failed += 1;
        }
      },
      result: () => ({ calls: took.length, failed, middleMs: took.toSorted((a, b) => a - b)[took.length >> 1] ?? NaN }),
    };
  }
}

export function hostileReport(rows) {
  const ofCaller = ({ calls, failed, middleMs }) => `${calls} / ${failed} / ${middleMs.toFixed(0)} ms`;
  return [
    '10 000 connections of strangers from 64 addresses, opened again as they are closed:',
    '',
    '| Strangers | Gateway MB before | at most | open | opened | a kept connection: served / failed / median | new connections |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(
      (row) =>
        `| ${row.kind} | ${row.before} | ${row.most} | ${row.open} | ${row.opened} | ${ofCaller(row.kept)} | ${ofCaller(row.fresh)} |`,
    ),
  ].join('\n');
}
