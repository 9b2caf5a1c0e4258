// docs/generated/token-faults.md: what each return value of PKCS#11 means here, from the table and the profiles that the host uses.

const lost = (meaning) =>
  meaning.ask ? 'nothing, if the token answers' : meaning.lost === 'handle' ? 'session' : meaning.lost;

/** `profiles`: parsed native-config files, by name. */
export function faultsTable({ ckrTable, functionAnswers, meanings }, profiles) {
  const nameOf = (meaning) => Object.keys(meanings).find((name) => meanings[name] === meaning);
  const lines = [
    '# What a return value of the token means',
    '',
    'Written by `npm run generate` from `src/token/host/ckr.ts` and `native-config`. A value that is in none of these tables makes the token suspect; a vendor’s own is vague from a function that is named below.',
    '',
    '| Meaning | Answered | Lost | Made again |',
    '|---|---|---|---|',
    ...Object.entries(meanings).map(([name, m]) => `| ${name} | ${m.says} | ${lost(m)} | ${m.again ? 'once' : 'no'} |`),
    '',
    '## By itself',
    '',
    '| Value | Meaning |',
    '|---|---|',
    ...Object.entries(ckrTable).map(([name, [, meaning]]) => `| ${name} | ${nameOf(meaning)} |`),
    '',
    '## From a function',
    '',
    '| Function | Value | Meaning |',
    '|---|---|---|',
    ...Object.entries(functionAnswers).flatMap(([from, answers]) =>
      Object.entries(answers).map(([name, meaning]) => `| ${from} | ${name} | ${meaning} |`),
    ),
    '',
    '## From a vendor’s token',
    '',
    '| Profile | Function | Mechanism | Value | Meaning | Because |',
    '|---|---|---|---|---|---|',
    ...profiles.flatMap(({ name, answers }) =>
      answers.map(
        (a) => `| ${name} | ${a.function} | ${a.mechanism ?? 'any'} | ${a.returns} | ${a.means} | ${a.because} |`,
      ),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
