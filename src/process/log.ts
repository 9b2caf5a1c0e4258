// The operational log, on stderr: JSON lines in service, short text in development. Never the audit (which must be on disk before an
// answer leaves) and never a secret.
import { createLogger, format, transports } from 'winston';
import type { LogLevel } from '../config/processes.js';

export interface Log {
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** `name` says which process writes: supervisor, gateway-0 … */
export function createLog(name: string, style: 'json' | 'text', level: LogLevel): Log {
  const logger = createLogger({
    level,
    defaultMeta: { process: name },
    format: style === 'json' ? format.combine(format.timestamp(), format.json()) : format.printf(textLine),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston types its transports as interfaces
    transports: [new transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] })],
  });
  return {
    error: (message, fields) => void logger.error(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    debug: (message, fields) => void logger.debug(message, fields),
  };
}

function textLine({ level, message, process: name, ...fields }: Record<string, unknown>): string {
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${String(value)}`);
  return `${String(level)}: ${String(name)}: ${String(message)}${rest.join('')}`;
}
