// What the gateway has for its façades. Each takes what it needs of it (`Facade<Core>`).
import { describe, verifyInBackground, type BackgroundVerification } from '../audit/background.js';
import type { AdminCore } from '../facades/admin/facade.js';
import type { AwsJsonCore } from '../facades/aws-json/facade.js';
import { noticed } from '../pipeline/service-event.js';
import type { Gateway } from './gateway.js';
import { join } from 'node:path';

export interface Core extends AwsJsonCore, AdminCore {
  /** Of the whole audit log, while the gateway serves; undefined: another gateway does it. */
  readonly verification: BackgroundVerification | undefined;
}

/** By the gateway that has the admin port, for all lanes: one pace for the one disk, and all it finds is in health and metrics. */
export function verifyAudit({ audit, services, config, log, timers }: Gateway): BackgroundVerification {
  return verifyInBackground({
    directory: join(config.home, 'audit'),
    own: { lane: config.lane, lastSeq: () => audit.state().lastSeq },
    clock: services.clock,
    timers,
    onDamage: (finding) => {
      log.error(`the audit log is damaged: ${describe(finding)}`);
      const { lane, file, line, reason } = finding;
      noticed(services, {
        eventName: 'AuditDamaged',
        region: config.defaultRegion,
        details: { lane, file, line, reason },
      }).catch((error: unknown) => log.error(`AuditDamaged is not in the audit log: ${String(error)}`));
    },
  });
}
