// A vendor's profile: what is different about its tokens, as data with the reason for each quirk. No vendor's name appears in code.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { ckaIdBytes } from '../calls.js';
import { ckrTable, meanings, mechanismNumber, type CkrName, type MeaningName } from './ckr.js';
import { functions } from './cryptoki.js';
import { StartFault } from './fault.js';

const because = z.string().min(10);

const profileSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  describes: z.string(),
  /** Tried in this order; relative ones count from the profile's folder. */
  modulePaths: z.strictObject({ value: z.array(z.string().min(1)).min(1), because }),
  /** C_Initialize's pReserved, for modules that take their configuration there. */
  initString: z.strictObject({ value: z.string().nullable(), because }),
  /** The token is the one with the configured label; `serial` also when two tokens may carry the same one. */
  tokenSelector: z.strictObject({ serial: z.string().nullable(), because }),
  /** What is no PIN of this vendor is not tried: a refusal would count. */
  pin: z.strictObject({ minBytes: z.int().min(1), maxBytes: z.int().max(255), pattern: z.string(), because }),
  /** How many calls that use keys may be under way at once, each in a session and a thread of its own. */
  callsInFlight: z.strictObject({ value: z.int().min(1).max(64), because }),
  /** And how many that make keys, beside them. */
  keyGenerations: z.strictObject({ value: z.int().min(1).max(8), because }),
  /** Read by this check alone: a token that takes shorter ones cannot hold the daemon's keys. */
  ckaId: z.strictObject({ maxBytes: z.int().min(ckaIdBytes), because }),
  gcm: z.strictObject({
    strategy: z.literal('gcm-host-iv'),
    /** Whether CK_GCM_PARAMS has ulIvBits (PKCS#11 v2.40 errata 1 and later) or not. */
    parameters: z.enum(['with-iv-bits', 'without-iv-bits']),
    because,
  }),
  /** Operate on a session copy of each key (C_CopyObject; the copy is non-extractable like its original). */
  sessionCopies: z.strictObject({ value: z.boolean(), because }),
  /** False where a token in FIPS mode takes no key from outside: its known answers cannot be checked. */
  importsSessionKeys: z.strictObject({ value: z.boolean(), because }),
  /** False where the token takes no data objects: deletions cannot be recorded in it, so none is scheduled. */
  dataObjects: z.strictObject({ value: z.boolean(), because }),
  /** Return values that this vendor uses otherwise than `functionAnswers` has it. */
  answers: z.array(
    z.strictObject({
      function: z.enum(functions),
      mechanism: z
        .string()
        .refine((name) => mechanismNumber(name) !== undefined, 'is no mechanism of PKCS#11 v2.40')
        .optional(),
      returns: z
        .string()
        .regex(/^0x[0-9a-f]+$/)
        .or(z.enum(Object.keys(ckrTable) as [CkrName, ...CkrName[]])),
      means: z.enum(Object.keys(meanings) as [MeaningName, ...MeaningName[]]),
      because,
    }),
  ),
});

export type Profile = z.infer<typeof profileSchema>;

/** Reads and checks a profile; module paths come back absolute. StartFault `configuration` when it is not one. */
export function loadProfile(path: string): Profile {
  try {
    const profile = profileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
    new RegExp(profile.pin.pattern, 'u');
    const value = profile.modulePaths.value.map((modulePath) => resolve(dirname(path), modulePath));
    return { ...profile, modulePaths: { ...profile.modulePaths, value } };
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new StartFault('configuration', `the vendor profile ${path} cannot be used: ${why}`, { cause: error });
  }
}
