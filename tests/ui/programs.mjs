// The programs that drive the pages: Debian's Chromium, and a broker with a data folder of its own.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import amqplib from 'amqplib';
import { chromium } from 'playwright-core';

// It must not look for servers of its maker.
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const startBrowser = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS });

// Where brokers listen that are not given ports by somebody else.
const [AMQP, HTTP] = ['127.0.0.1:35672', '127.0.0.1:35680'];

// Starts a broker and answers when it is ready; `stop` ends it and takes its data away.
export async function startBroker(binary) {
  const data = await mkdtemp(path.join(tmpdir(), 'haremq-ui-'));
  const listen = ['--amqp-listen', AMQP, '--http-listen', HTTP, '--prometheus-listen', 'none'];
  const broker = spawn(binary, ['--data-dir', data, ...listen], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((ready) => broker.stdout.once('data', ready));
  const stop = async () => {
    broker.kill();
    await rm(data, { recursive: true, force: true });
  };
  return { http: `http://${HTTP}`, connect: (properties) => connect(AMQP, properties), stop };
}

// Without heartbeats, whose timers would outlive a socket that is cut.
export const connect = (address, clientProperties = {}) =>
  amqplib.connect(`amqp://guest:guest@${address}?heartbeat=0`, { clientProperties });
