// A token host whose login takes a while and leaves a line in $home/logins: what the tests fork to have two of them overlap.
import { appendFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pkcs11 from 'pkcs11js';
import { runTokenHost } from '../../dist/token/host/main.js';

const { C_Login } = pkcs11.PKCS11.prototype;
pkcs11.PKCS11.prototype.C_Login = function (...words) {
  appendFileSync(join(dirname(process.env.SOFTHSM2_CONF), 'logins'), 'begun\n');
  // Longer than the other host takes from its start to this call.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
  return C_Login.apply(this, words);
};
runTokenHost();
