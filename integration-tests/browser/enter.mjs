// The way in by an address that is printed: `node enter.mjs ADDRESS`.
import assert from 'node:assert/strict';
import { end, lookOver, open, step } from './browser.mjs';

const [address] = process.argv.slice(2);
const url = new URL(address).origin;

const { page, close } = await open(url);
await step('the address lets one in', async () => {
  await page.goto(address);
  assert.equal(page.url(), `${url}/ui/jobs`);
  await page.locator('td a').click();
  await page.getByRole('status').filter({ hasText: 'succeeded' }).waitFor();
  await lookOver(page);
});
await close();

await step('once', async () => {
  const { page, close } = await open(url);
  await page.goto(address);
  await page.getByText('this address was used before').waitFor();
  await page.goto('/ui/jobs');
  await page.getByLabel('API key').waitFor();
  await close();
});
await end();
