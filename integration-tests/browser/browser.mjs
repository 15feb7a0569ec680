// Chromium with the page open: watched for what it complains of, and looked over by axe.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** Longest wait for what must come, ms. */
export const SOON = 60_000;

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const chrome = await chromium.launch({ executablePath, args: ARGS });

/** A window of its own, without cookies. */
export async function open(url, options = {}) {
  const context = await chrome.newContext({ baseURL: url, viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(SOON);
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // A refused login answers 403, which Chromium notes.
    if (['error', 'warning'].includes(message.type()) && !message.text().includes('status of 403')) {
      complaints.push(message.text());
    }
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) complaints.push(`asks ${request.url()}`);
  });
  const close = async () => {
    assert.deepEqual(complaints, [], 'scripts run, nothing is refused by the policy, nobody else is asked');
    await context.close();
  };
  return { page, close };
}

export async function logIn(page, key) {
  await page.goto('/ui/jobs');
  await page.getByLabel('API key').fill(key);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Jobs' }).waitFor();
}

/** What axe finds wrong, which is nothing; and nothing is wider than the window. */
export async function lookOver(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => globalThis.axe.run());
  const wrong = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
  assert.deepEqual(wrong, [], page.url());
  const [page_px, window_px] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(page_px <= window_px, `${page.url()} is ${page_px} px wide in a window of ${window_px}`);
}

/** Says what is done, so that a failure tells where. */
export async function step(what, does) {
  console.log(what);
  await does();
}

export async function end() {
  await chrome.close();
}
