// A token that takes many calls at once, without us: threads with a session each, and C_EncryptInit and C_Encrypt in a loop through pkcs11js. Prints
// operations a second, and µs of CPU for each, as JSON.
//   raw-threads.mjs MODULE PIN_FILE THREADS SECONDS     (SOFTHSM2_CONF in the environment)
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import pkcs11 from 'pkcs11js';

const flags = pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION;
const warmMs = 4000;

function load(modulePath) {
  const p = new pkcs11.PKCS11();
  p.load(modulePath);
  try {
    p.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
  } catch (error) {
    if (error.code !== pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) throw error;
  }
  return p;
}

function encryptForEver({ modulePath, slot, key, counts, thread }) {
  const p = load(modulePath);
  const [session, handle] = [p.C_OpenSession(Buffer.from(slot), flags), Buffer.from(key)];
  const [iv, aad, plaintext, output] = [12, 32, 32, 48].map((bytes) => Buffer.alloc(bytes, thread));
  const parameter = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 };
  for (let n = 0; ; n++) {
    iv.writeUInt32BE(n);
    p.C_EncryptInit(session, { mechanism: pkcs11.CKM_AES_GCM, parameter }, handle);
    p.C_Encrypt(session, plaintext, output);
    Atomics.add(counts, thread, 1);
  }
}

async function measure([modulePath, pinFile, threads, seconds]) {
  const p = load(modulePath);
  const [slot] = p.C_GetSlotList(true);
  const session = p.C_OpenSession(slot, flags);
  p.C_Login(session, pkcs11.CKU_USER, readFileSync(pinFile, 'utf8').trim());
  const key = p.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: 32 },
    { type: pkcs11.CKA_TOKEN, value: false },
    { type: pkcs11.CKA_ENCRYPT, value: true },
  ]);
  const counts = new Int32Array(new SharedArrayBuffer(4 * Number(threads)));
  for (let thread = 0; thread < Number(threads); thread++)
    new Worker(new URL(import.meta.url), { workerData: { modulePath, slot, key, counts, thread } });
  const total = () => counts.reduce((sum, count) => sum + count, 0);
  await sleep(warmMs);
  const [before, cpu, startMs] = [total(), process.cpuUsage(), performance.now()];
  await sleep(Number(seconds) * 1000);
  const [done, { user, system }, tookMs] = [total() - before, process.cpuUsage(cpu), performance.now() - startMs];
  process.stdout.write(JSON.stringify({ perSecond: (done * 1000) / tookMs, cpuUs: (user + system) / done }), () =>
    // Its threads are in the library.
    process.kill(process.pid, 'SIGKILL'),
  );
}

if (isMainThread) await measure(process.argv.slice(2));
else encryptForEver(workerData);
