// Bugs that this daemon had, or that a daemon like it easily has, each as a change of one module.
import type * as committingLane from '../../src/audit/committing-lane.js';
import type * as auditLane from '../../src/audit/lane.js';
import { type DiskFile, systemDisk } from '../../src/kernel/disk.js';
import type * as backingKey from '../../src/operations/backing-key.js';
import type * as secondLook from '../../src/pipeline/second-look.js';
import type * as tokenPort from '../../src/ports/token.js';
import type * as clockKeeper from '../../src/process/clock-keeper.js';
import type * as watch from '../../src/store/watch.js';
import type * as makingOrder from '../../src/token/host/making-order.js';

export interface Bug {
  readonly name: string;
  /** Each module, with what it becomes. */
  readonly modules: Readonly<Record<string, (original: never) => object>>;
  /** What the simulation says of it. */
  readonly shows: RegExp;
}

const source = (path: string): string => `../../src/${path}.js`;

export const bugs: readonly Bug[] = [
  {
    name: 'an answer leaves before its record is on the disk',
    shows: /before its record was on the disk/,
    modules: {
      [source('audit/committing-lane')]: ({ CommittingLane }: typeof committingLane) => ({
        CommittingLane: class extends CommittingLane {
          override append(...record: Parameters<committingLane.CommittingLane['append']>): Promise<void> {
            super.append(...record).catch(() => undefined);
            return Promise.resolve();
          }
        },
      }),
    },
  },
  {
    name: 'a sync that failed is made again, and believed',
    shows: /before its record was on the disk|record of an answered|damaged/,
    modules: {
      [source('audit/lane')]: (original: typeof auditLane) => {
        const believing = (file: DiskFile): DiskFile => ({
          ...file,
          datasync: () => file.datasync().catch(() => file.datasync()),
        });
        return {
          ...original,
          openAuditLane: ({ disk = systemDisk, ...options }: auditLane.AuditLaneOptions) =>
            original.openAuditLane({
              ...options,
              disk: {
                ...disk,
                create: async (path) => believing(await disk.create(path)),
                openAppend: async (path) => believing(await disk.openAppend(path)),
              },
            }),
        };
      },
    },
  },
  {
    name: 'a token call whose outcome nobody knows is taken for one that made nothing',
    shows: /objects that no row names/,
    modules: {
      [source('ports/token')]: (original: typeof tokenPort) => {
        class AnyError extends original.NothingMade {
          static override [Symbol.hasInstance](): boolean {
            return true;
          }
        }
        return { ...original, NothingMade: AnyError };
      },
    },
  },
  {
    name: 'a key that was said not to be there is made all the same',
    shows: /objects that no row names/,
    modules: {
      [source('token/host/making-order')]: ({ MakingOrder }: typeof makingOrder) => ({
        MakingOrder: class extends MakingOrder {
          override begin(): boolean {
            return true;
          }
          override whenNotUnderWay(_ckaId: Buffer, look: () => void): void {
            look();
          }
        },
      }),
    },
  },
  {
    name: 'a creation that was cut off is undone though its material is there',
    shows: /objects that no row names/,
    modules: {
      [source('operations/backing-key')]: (original: typeof backingKey) => ({
        ...original,
        isPendingMade: () => Promise.resolve(false),
      }),
    },
  },
  {
    name: 'a gateway goes on by rows that another one has changed',
    shows: /under a key that is|under an enabled key|DisabledException/,
    modules: {
      [source('store/watch')]: ({ ChangeWatch }: typeof watch) => ({
        ChangeWatch: class extends ChangeWatch {
          override look(): Promise<void> | undefined {
            return undefined;
          }
        },
      }),
    },
  },
  {
    name: 'a deletion is carried out at the first look by a clock that was set forward',
    shows: /within seven days/,
    modules: {
      [source('pipeline/second-look')]: ({ SecondLook }: typeof secondLook) => ({
        SecondLook: class extends SecondLook {
          override look(subject: string): secondLook.Look {
            return subject.startsWith('deletion') ? { isRipe: () => true, end: () => undefined } : super.look(subject);
          }
        },
      }),
      [source('process/clock-keeper')]: ({ ClockKeeper }: typeof clockKeeper) => ({
        ClockKeeper: class extends ClockKeeper {
          override look(): Promise<undefined> {
            return Promise.resolve(undefined);
          }
        },
      }),
    },
  },
];
