// The bench's results as Markdown.

const number = (value, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

const whatItIs = `Where the figure for CPU is missed, this is why: one write to the socket for each answer, five SHA-256 for each request (its body, the canonical
request, two for the HMAC, the audit chain; "native: crypto" and "node: crypto"), C_EncryptInit and C_Encrypt ("native: other" of the token host), and Node's HTTP
server are most of it, and are what the work consists of. The threads that sync the audit log are in the CPU per request and not in this table.`;

/** Of other benches, at the end of the same document. */
const sectionsIn = (text) => text.split(/^(?=## )/m).slice(1);

/** The document with another section of this title, at its end if it had none. */
export function withSection(text, title, section) {
  const heading = `## ${title}\n`;
  const [first, ...others] = text.split(/^(?=## )/m);
  const fresh = `${heading}\n${section.trimEnd()}\n`;
  const at = others.findIndex((other) => other.startsWith(heading));
  if (at < 0) others.push(fresh);
  else others[at] = fresh;
  return [first, ...others].map((part) => `${part.trimEnd()}\n`).join('\n');
}

/** What an earlier report says was reached, by the figure's first word or words. */
function reachedIn(text) {
  const rows = text.matchAll(/^\| ([^|(]+?) ?(?:\([^|]*)?\|[^|]*\| ([^|]+) \|/gm);
  return new Map([...rows].map(([, figure, reached]) => [figure, reached]));
}

/** `profile`: rows of [part, gateway µs, token host µs], or undefined. `earlier`: the text of the last report. */
export function report(results, profile, earlier = '') {
  const recorded = reachedIn(earlier);
  const figure = (name, note, reach, reached) =>
    `| ${name}${note} | ${reach} | ${reached} | ${recorded.get(name) ?? '–'} |`;
  const at64 = results.rows.find((row) => row.connections === 64);
  const ratio = (row) => row.ours.perSecond / row.echo.perSecond;
  const { gateway, supervisor, 'token-host': tokenHost } = results.memory;
  const lines = [
    '# Bench',
    '',
    `Encrypt of 32 bytes: signed, authorized, in the token (SoftHSMv2), audit on disk before the answer. One gateway, one token host.`,
    `${results.machine}; load generator on the same cores; medians of ${results.rounds} rounds of ${results.seconds} s.`,
    '',
    '| Connections | Requests/s | bare node:http/s | ÷ bare | p50 ms | p99 ms | CPU/request, all processes | bare CPU/request |',
    '|---|---|---|---|---|---|---|---|',
    ...results.rows.map(
      (row) =>
        `| ${row.connections} | ${number(row.ours.perSecond)} | ${number(row.echo.perSecond)} | ${ratio(row).toFixed(3)} | ${row.ours.p50.toFixed(2)} | ${row.ours.p99.toFixed(2)} | ${row.ours.cpuUs.toFixed(0)} µs | ${row.echo.cpuUs.toFixed(0)} µs |`,
    ),
    '',
    `Raw PKCS#11 loop through pkcs11js on the same token, one thread: ${number(results.raw)}/s; at 64 connections we reach ${(at64.ours.perSecond / results.raw).toFixed(3)} of it.`,
    '',
    '| Figure | To reach | Reached | Recorded before |',
    '|---|---|---|---|',
    figure('Encrypt ÷ bare, 64 connections', '', '0.33', ratio(at64).toFixed(3)),
    figure('CPU per Encrypt ÷ CPU per bare request', '', '3.8', (at64.ours.cpuUs / at64.echo.cpuUs).toFixed(1)),
    figure(
      'p99 at half of the top rate',
      ` (${number(results.half.perSecond)}/s)`,
      '10 ms',
      `${results.half.p99.toFixed(2)} ms`,
    ),
    figure('Memory after the load: gateway', '', '150 MB', `${gateway} MB`),
    figure('Memory after the load: token host', '', '100 MB', `${tokenHost} MB`),
    figure('Memory after the load: supervisor', '', '70 MB', `${supervisor} MB`),
    figure('Ready after a second start', '', '3 s', `${(results.readyMs / 1000).toFixed(2)} s`),
  ];
  if (results.soak.length > 0) {
    lines.push(
      '',
      'Memory as requests add up, 64 connections:',
      '',
      '| Requests | Gateway MB | Token host MB | Supervisor MB |',
    );
    lines.push('|---|---|---|---|');
    for (const [requests, mb] of results.soak)
      lines.push(`| ${number(requests)} | ${mb.gateway} | ${mb['token-host']} | ${mb.supervisor} |`);
  }
  if (profile !== undefined) {
    lines.push('', 'Where the time of one request goes (V8 profiler, self time, 64 connections):', '');
    lines.push('| Part | Gateway µs | Token host µs |', '|---|---|---|');
    lines.push(...profile.map(([part, a, b]) => `| ${part} | ${a.toFixed(1)} | ${b.toFixed(1)} |`));
    lines.push('', whatItIs);
  }
  return [`${lines.join('\n')}\n`, ...sectionsIn(earlier)].join('\n');
}
