// Every setting of the daemon: its type, its default and one sentence of documentation. docs/configuration.md shows the same table
// and a test compares the two. A setting that is not here is refused.
import { z } from 'zod';
import { keyStorePattern } from '../model/key-store.js';
import type { Listener } from './listener.js';

const defaultPort = 4599;
const defaultAdminPort = 4600;
/**
 * Of each account in each gateway. Above what one account alone makes a gateway do on two cores (16,000 Encrypts and 20 MB of log a second
 * were measured), so that nobody who is alone is slowed down; below it is for those who know their tenants and their disk.
 */
const defaultLimits = { requestsPerSecond: 20_000, auditBytesPerSecond: 33_554_432 } as const;

const port = z.int().min(0).max(65_535);
const regionName = z
  .string()
  .regex(/^[a-z]{2}(-[a-z]+)+-\d{1,2}$/, 'a Region has the form us-east-1')
  .max(32);
const accountId = z
  .string({ error: 'an account is twelve digits in quotes, such as "000000000000"' })
  .regex(/^\d{12}$/, 'an account is twelve digits in quotes, such as "000000000000"');
const path = z.string().min(1, 'a path is needed');
const socketMode = z
  .string({ error: "a mode is four octal digits in quotes, such as '0660'" })
  .regex(/^0[0-7]{3}$/, "a mode is four octal digits in quotes, such as '0660'")
  .default('0600');
const logLevel = z.enum(['error', 'warn', 'info', 'debug']);

const tokenSettings = {
  profile: path.describe('Vendor profile: a name in native-config/ (softhsm2) or the path of a file.'),
  modulePath: path.optional().describe("The vendor's PKCS#11 library; replaces the profile's list of places."),
  label: z
    .string()
    .min(1)
    .refine((text) => Buffer.byteLength(text) <= 32, 'a token label has 32 bytes at most')
    .describe('Label of the token that holds the keys.'),
  pinFile: path.describe("File with the token's user PIN on one line, mode 0600; only the token host reads it."),
  environment: z
    .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string({ error: 'a value is a text: put it in quotes' }))
    .default({})
    .describe("Environment variables of the token host, as the vendor's library wants them."),
};

const keyStore = z.strictObject({
  name: z
    .string()
    .regex(keyStorePattern, 'a name has lower-case letters, digits and hyphens, 32 at most, and begins with a letter')
    .describe('Name of the key store; the rows of its keys carry it, so that it stays as it is.'),
  ...tokenSettings,
});

const region = z.strictObject({
  ...tokenSettings,
  keyStores: z
    .array(keyStore)
    .max(16)
    .refine((stores) => new Set(stores.map(({ name }) => name)).size === stores.length, 'a name is given twice')
    .default([])
    .describe(
      "Further tokens of the Region. A new key goes to the Region's own, or to the first of these that can do its spec.",
    ),
});

const settings = {
  home: path.describe('Folder for all that the daemon writes: database, audit log, sockets, credentials.'),
  listen: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1').describe('Address of the AWS endpoint.'),
      port: port
        .optional()
        .describe(`Port of the AWS endpoint, ${defaultPort} when there is no \`listen.socket\`; 0 picks a free one.`),
      socket: path.optional().describe('Path of a UNIX socket for the AWS endpoint, beside the port or in its place.'),
      socketMode: socketMode.describe('Mode of the socket: who may connect.'),
      tls: z
        .strictObject({
          certificate: path.describe('PEM file with the certificate of the port, followed by its chain.'),
          key: path.describe('PEM file with its private key, mode 0600; only gateways read it.'),
        })
        .optional()
        .describe('TLS for the port; without it the port speaks plain HTTP.'),
    })
    .refine(({ port, socket, tls }) => tls === undefined || port !== undefined || socket === undefined, {
      path: ['tls'],
      error: 'it is for the port, and with a socket alone there is none: set listen.port',
    })
    .transform((listen) => ({
      ...listen,
      // Who names a socket and no port wants none: the socket's mode says who may come in.
      port: listen.port ?? (listen.socket === undefined ? defaultPort : undefined),
      socketMode: Number.parseInt(listen.socketMode, 8),
    }))
    .prefault({}),
  admin: z
    .strictObject({
      port: port
        .default(defaultAdminPort)
        .describe('Port for health and metrics, on 127.0.0.1 only; 0 picks a free one.'),
    })
    .prefault({}),
  defaultRegion: regionName
    .default('us-east-1')
    .describe('Region whose token must be up before anything is served; one of `regions`.'),
  gateways: z.int().min(1).max(64).default(1).describe('Number of processes that serve HTTP.'),
  accounts: z
    .array(accountId)
    .min(1)
    .max(1000)
    .refine((ids) => new Set(ids).size === ids.length, 'an account is named twice')
    .default(['000000000000'])
    .describe('AWS account ids served; each gets root credentials at the first start.'),
  deadlines: z
    .strictObject({
      tokenMs: z
        .int()
        .min(100)
        .max(600_000)
        .default(10_000)
        .describe(
          'Milliseconds a call may wait for its token; a host that answers nothing for so long is killed and restarted.',
        ),
      startMs: z
        .int()
        .min(1000)
        .max(600_000)
        .default(60_000)
        .describe(
          'Milliseconds from the start of a token host until it is ready; one that takes longer is killed and restarted.',
        ),
      drainMs: z
        .int()
        .min(100)
        .max(600_000)
        .default(15_000)
        .describe('Milliseconds that requests in flight have to finish at shutdown.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      requestsPerSecond: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(defaultLimits.requestsPerSecond)
        .describe('Calls a second that one account may make of one gateway; further ones are throttled.'),
      auditBytesPerSecond: z
        .int()
        .min(1024)
        .max(1_000_000_000)
        .default(defaultLimits.auditBytesPerSecond)
        .describe(
          "Bytes a second that one account's records may take in one gateway's audit log; then it is throttled.",
        ),
    })
    .prefault({}),
  logLevel: logLevel.default('info').describe('Least severe line of the operational log that is written.'),
};

export type TokenSettings = z.output<z.ZodObject<typeof tokenSettings>>;

/** All settings but the Regions'. */
export const settingsSchema = z.strictObject(settings);
/** Their values travel to each gateway as they are: a new one is there where it is used. */
export type Settings = z.output<typeof settingsSchema>;

/** The file that `hsm-bridge serve` reads. Relative paths start at the folder of the file. */
export const fileSchema = z
  .strictObject({
    ...settings,
    regions: z
      .record(regionName, region)
      .refine((regions) => Object.keys(regions).length > 0, 'name one Region at least')
      .describe('The Regions served, each with the token that holds its keys.'),
  })
  .refine((file) => Object.hasOwn(file.regions, file.defaultRegion), {
    path: ['defaultRegion'],
    error: 'this Region is not among `regions`',
  });

const text = (pattern: RegExp, error: string): z.ZodString => z.string().regex(pattern, error);
const numberText = (pattern: RegExp, error: string, number: z.ZodInt) =>
  text(pattern, error).transform(Number).pipe(number);
const portText = numberText(/^\d{1,5}$/, 'a port is a number from 0 to 65535', port);

/** The environment that `hsm-bridge dev` reads; an empty value counts as unset. */
export const environmentSchema = z
  .strictObject({
    HSM_BRIDGE_HOME: path
      .default('.hsm-bridge')
      .describe('Folder for all that the daemon writes, relative to the working directory.'),
    HSM_BRIDGE_HOST: z.string().default('127.0.0.1').describe('Address of the AWS endpoint.'),
    HSM_BRIDGE_PORT: portText.prefault(String(defaultPort)).describe('Port of the AWS endpoint; 0 picks a free one.'),
    HSM_BRIDGE_SOCKET: path.optional().describe('Path of a UNIX socket for the AWS endpoint, beside the port.'),
    HSM_BRIDGE_SOCKET_MODE: socketMode.describe('Mode of the socket: who may connect.'),
    HSM_BRIDGE_TLS_CERTIFICATE: path
      .optional()
      .describe('PEM file with the certificate of the port; without it the port speaks plain HTTP.'),
    HSM_BRIDGE_TLS_KEY: path.optional().describe('PEM file with its private key, mode 0600.'),
    HSM_BRIDGE_ADMIN_PORT: portText
      .prefault(String(defaultAdminPort))
      .describe('Port for health and metrics, on 127.0.0.1 only; 0 picks a free one.'),
    HSM_BRIDGE_GATEWAYS: numberText(/^\d{1,2}$/, 'a number from 1 to 64 is needed', z.int().min(1).max(64))
      .prefault('1')
      .describe('Number of processes that serve HTTP.'),
    HSM_BRIDGE_REQUESTS_PER_SECOND: numberText(
      /^\d{1,7}$/,
      'a number from 1 to 1000000 is needed',
      z.int().min(1).max(1_000_000),
    )
      .prefault(String(defaultLimits.requestsPerSecond))
      .describe('Calls a second that one account may make of one gateway; further ones are throttled.'),
    HSM_BRIDGE_AUDIT_BYTES_PER_SECOND: numberText(
      /^\d{1,10}$/,
      'a number from 1024 to 1000000000 is needed',
      z.int().min(1024).max(1_000_000_000),
    )
      .prefault(String(defaultLimits.auditBytesPerSecond))
      .describe("Bytes a second that one account's records may take in one gateway's audit log; then it is throttled."),
    HSM_BRIDGE_LOG_LEVEL: logLevel
      .default('info')
      .describe('Least severe line of the operational log that is written.'),
  })
  .refine(
    ({ HSM_BRIDGE_TLS_CERTIFICATE: certificate, HSM_BRIDGE_TLS_KEY: key }) =>
      (certificate === undefined) === (key === undefined),
    { path: ['HSM_BRIDGE_TLS_CERTIFICATE'], error: 'it needs HSM_BRIDGE_TLS_KEY, and the other way about' },
  );

/** The same as the file would say it. What no variable is for keeps the file's default. */
export function settingsOf(variables: z.output<typeof environmentSchema>): z.input<typeof settingsSchema> {
  const { HSM_BRIDGE_TLS_CERTIFICATE: certificate, HSM_BRIDGE_TLS_KEY: key } = variables;
  return {
    home: variables.HSM_BRIDGE_HOME,
    listen: {
      host: variables.HSM_BRIDGE_HOST,
      port: variables.HSM_BRIDGE_PORT,
      socket: variables.HSM_BRIDGE_SOCKET,
      socketMode: variables.HSM_BRIDGE_SOCKET_MODE,
      tls: certificate === undefined || key === undefined ? undefined : { certificate, key },
    },
    admin: { port: variables.HSM_BRIDGE_ADMIN_PORT },
    gateways: variables.HSM_BRIDGE_GATEWAYS,
    limits: {
      requestsPerSecond: variables.HSM_BRIDGE_REQUESTS_PER_SECOND,
      auditBytesPerSecond: variables.HSM_BRIDGE_AUDIT_BYTES_PER_SECOND,
    },
    logLevel: variables.HSM_BRIDGE_LOG_LEVEL,
    accounts: [...development.accounts],
    defaultRegion: development.defaultRegion,
  };
}

/** The addresses that the settings ask for: the supervisor binds each, and the façade of its name serves it. */
export function listenersOf({ listen, admin }: Settings): readonly Listener[] {
  const { host, port, socket, socketMode: mode, tls } = listen;
  const listeners: Listener[] = [];
  if (port !== undefined) {
    const setting = { serve: 'listen.port', dev: 'HSM_BRIDGE_PORT' };
    listeners.push({ name: 'endpoint', at: { host, port }, tls, setting, firstGatewayOnly: false });
  }
  if (socket !== undefined) {
    const setting = { serve: 'listen.socket', dev: 'HSM_BRIDGE_SOCKET' };
    listeners.push({ name: 'unix', at: { path: socket, mode }, tls: undefined, setting, firstGatewayOnly: false });
  }
  const setting = { serve: 'admin.port', dev: 'HSM_BRIDGE_ADMIN_PORT' };
  // Nothing is authenticated there.
  const at = { host: '127.0.0.1', port: admin.port };
  listeners.push({ name: 'admin', at, tls: undefined, setting, firstGatewayOnly: true });
  return listeners;
}

/** What development mode serves; each Region's token is made when it is first used. */
export const development = {
  accounts: ['000000000000', '111122223333'],
  defaultRegion: 'us-east-1',
  regions: ['us-east-1', 'us-west-2', 'eu-west-1', 'eu-west-2', 'ap-northeast-2'],
} as const;
