// Performs the first steps of a provisioning and then kills itself: what the tests fork to stop one in the middle.
import { systemRandom } from '../../dist/kernel/random.js';
import { loadModule } from '../../dist/token/host/module.js';
import { loadProfile } from '../../dist/token/host/profile.js';
import { provisioningSteps } from '../../dist/token/host/provision.js';

process.once('message', ({ steps, plan, profilePath }) => {
  const profile = loadProfile(profilePath);
  const module = loadModule(profile, undefined);
  for (const step of provisioningSteps(module, plan, profile, systemRandom).slice(0, steps)) step();
  process.kill(process.pid, 'SIGKILL');
});
