// Loaded first into each process of a daemon under test: its wall clock runs `ms` milliseconds ahead (?ms=… of this module's URL).
import { ServerResponse } from 'node:http';

const ms = Number(new URL(import.meta.url).searchParams.get('ms'));
const now = Date.now.bind(Date);
Date.now = () => now() + ms;

// Node writes the Date header by its own clock, and clients correct theirs by it.
const { writeHead } = ServerResponse.prototype;
ServerResponse.prototype.writeHead = function (...words) {
  this.setHeader('Date', new Date(Date.now()).toUTCString());
  return writeHead.apply(this, words);
};
