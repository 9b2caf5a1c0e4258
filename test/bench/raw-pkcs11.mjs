// The token without us: C_EncryptInit and C_Encrypt in a loop, one thread, on a token of the daemon's. Prints operations per second.
//   raw-pkcs11.mjs MODULE PIN_FILE SECONDS     (SOFTHSM2_CONF in the environment)
import { readFileSync } from 'node:fs';
import pkcs11 from 'pkcs11js';

const [modulePath, pinFile, seconds] = process.argv.slice(2);
const p = new pkcs11.PKCS11();
p.load(modulePath);
p.C_Initialize();
const slot = p.C_GetSlotList(true)[0];
const session = p.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
p.C_Login(session, pkcs11.CKU_USER, readFileSync(pinFile, 'utf8').trim());
const key = p.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
  { type: pkcs11.CKA_VALUE_LEN, value: 32 },
  { type: pkcs11.CKA_TOKEN, value: false },
  { type: pkcs11.CKA_ENCRYPT, value: true },
]);
const plaintext = Buffer.alloc(32, 7);
const aad = Buffer.alloc(32, 1);
const iv = Buffer.alloc(12);
const parameter = { type: pkcs11.CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 };
const output = Buffer.alloc(48);
const end = performance.now() + Number(seconds) * 1000;
const start = performance.now();
let count = 0;
while (performance.now() < end) {
  for (let i = 0; i < 500; i++) {
    iv.writeUInt32BE(count + i, 0);
    p.C_EncryptInit(session, { mechanism: pkcs11.CKM_AES_GCM, parameter }, key);
    p.C_Encrypt(session, plaintext, output);
  }
  count += 500;
}
console.log(Math.round((count * 1000) / (performance.now() - start)));
p.C_Finalize();
