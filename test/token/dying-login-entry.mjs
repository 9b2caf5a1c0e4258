// A token host that is killed while the library has the PIN: what the tests fork.
import pkcs11 from 'pkcs11js';
import { runTokenHost } from '../../dist/token/host/main.js';

pkcs11.PKCS11.prototype.C_Login = () => {
  process.kill(process.pid, 'SIGKILL');
  // The signal is on its way: nothing more may happen.
  for (;;);
};
runTokenHost();
