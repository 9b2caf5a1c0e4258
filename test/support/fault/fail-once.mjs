// Loaded first into each process of a daemon under test: once there is the file ?armed=…, a token host's next C_EncryptInit returns
// CKR_GENERAL_ERROR without having been made, and the file is gone.
import { existsSync, rmSync } from 'node:fs';

if (process.argv[2] === 'token-host') {
  const armed = new URL(import.meta.url).searchParams.get('armed');
  const { default: pkcs11 } = await import('pkcs11js');
  const { C_EncryptInit } = pkcs11.PKCS11.prototype;
  pkcs11.PKCS11.prototype.C_EncryptInit = function (...words) {
    if (!existsSync(armed)) return C_EncryptInit.apply(this, words);
    rmSync(armed);
    // As pkcs11js gets it from its native part.
    throw new Error('CKR_GENERAL_ERROR:5');
  };
}
