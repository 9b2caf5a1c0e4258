// Loaded first into a daemon under test: each C_Login of a token host leaves a line in the file ?log=…, so that a test can count attempts.
import { appendFileSync } from 'node:fs';

if (process.argv[2] === 'token-host') {
  const log = new URL(import.meta.url).searchParams.get('log');
  const { default: pkcs11 } = await import('pkcs11js');
  const { C_Login } = pkcs11.PKCS11.prototype;
  pkcs11.PKCS11.prototype.C_Login = function (...words) {
    appendFileSync(log, `user type ${words[1]}\n`);
    return C_Login.apply(this, words);
  };
}
