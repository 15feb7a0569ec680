// The main ways through the page: `node page.mjs URL KEY RUNNING FAILED [PICTURES]`, the latter two ids of a job that runs and of one
// whose failed calls would succeed now.
import assert from 'node:assert/strict';
import { end, logIn, lookOver, open, step } from './browser.mjs';

const [url, key, running, failed, pictures] = process.argv.slice(2);
const picture = async (page, name) => pictures && (await page.screenshot({ path: `${pictures}/${name}.png` }));
const state = (page, name) => page.getByRole('status').filter({ hasText: name }).waitFor();

const { page, close } = await open(url, { colorScheme: 'light' });

await step('a wrong key is refused, the right one opens what was wanted', async () => {
  await page.goto(`/ui/jobs/${running}`);
  await lookOver(page);
  await page.getByLabel('API key').fill('tg_wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('alert').waitFor();
  await lookOver(page);
  await page.goto(`/ui/jobs/${running}`);
  await page.getByLabel('API key').fill(key);
  await page.keyboard.press('Enter');
  await state(page, 'running');
});

await step('a job moves before one, and what has the focus keeps it', async () => {
  await lookOver(page);
  await page.evaluate(() => { globalThis.stays = true; });
  await page.locator('#pause').focus();
  const ended = page.locator('.figures div', { hasText: 'Calls ended' }).locator('dd');
  for (let changes = 0; changes < 2; changes += 1) {
    const before = await ended.textContent();
    await page.waitForFunction((text) => ![...document.querySelectorAll('.figures dd')].some((dd) => dd.textContent === text), before);
  }
  assert.equal(await page.evaluate(() => document.activeElement.id), 'pause');
  await picture(page, 'job');
});

await step('it is paused by keyboard, says so, and goes on', async () => {
  await page.keyboard.press('Enter');
  await state(page, 'paused');
  await page.getByText('the job is paused').first().waitFor();
  await page.locator('#resume').click();
  await state(page, 'running');
});

await step('it is seen to finish without being loaded anew', async () => {
  await page.evaluate(() => { globalThis.stays = true; });
  await state(page, 'succeeded');
  assert.equal(await page.evaluate(() => globalThis.stays), true);
  await lookOver(page);
});

await step('its tree is walked down, and its items are looked at and taken along', async () => {
  await page.getByRole('region', { name: 'Fetches' }).getByRole('link', { name: 'users' }).click();
  await page.getByRole('region', { name: 'Fetches' }).getByRole('link', { name: /posts/ }).first().waitFor();
  await lookOver(page);
  await page.getByRole('link', { name: 'Look at items' }).click();
  await page.getByText('"name"').first().waitFor();
  await lookOver(page);
  const taken = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download CSV' }).click();
  assert.equal((await taken).suggestedFilename(), `${running}.csv`);
});

await step('a job is found by name, and its failed calls are made again', async () => {
  await page.getByRole('link', { name: 'Jobs', exact: true }).click();
  await page.getByLabel('Name').fill('JO');
  await page.getByLabel('State').selectOption('failed');
  await page.getByRole('button', { name: 'Show' }).click();
  await lookOver(page);
  await page.locator(`a[href="/ui/jobs/${failed}"]`).click();
  await page.getByRole('heading', { name: 'What failed' }).waitFor();
  await lookOver(page);
  await picture(page, 'failed');
  await page.getByRole('link', { name: 'One by one' }).click();
  await lookOver(page);
  await page.goBack();
  await page.getByRole('link', { name: 'Answers that no rule speaks of' }).click();
  await page.getByRole('heading', { name: 'that no rule speaks of' }).first().waitFor();
  await lookOver(page);
  await page.goBack();
  await page.getByRole('button', { name: 'Retry these' }).waitFor();
  await page.getByRole('button', { name: /^Retry \d+ failed calls?$/ }).click();
  await state(page, 'succeeded');
});

await step('a limit is paused with a reason, and let go', async () => {
  await page.getByRole('link', { name: 'Limits' }).click();
  await picture(page, 'limits');
  await lookOver(page);
  await page.getByRole('link', { name: 'Pause or change' }).first().click();
  await lookOver(page);
  await page.getByRole('form', { name: 'Pause' }).getByLabel('Reason').fill('<b>maintenance</b>');
  await page.locator('#pause').click();
  await page.getByText('<b>maintenance</b>').first().waitFor();
  await lookOver(page);
  await page.getByRole('link', { name: 'Pause or change' }).first().click();
  await page.getByRole('button', { name: 'End the pause' }).click();
  await page.getByRole('heading', { name: 'Limits' }).waitFor();
  assert.equal(await page.getByText('<b>maintenance</b>').count(), 0);
});

await step('the rest is there, and one logs out', async () => {
  for (const name of ['Providers', 'Credentials']) {
    await page.getByRole('link', { name }).click();
    await page.getByRole('heading', { name }).waitFor();
    await lookOver(page);
  }
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('API key').waitFor();
  await page.goto('/ui/limits');
  await page.getByLabel('API key').waitFor();
});
await close();

await step('in the dark, on a phone', async () => {
  const { page, close } = await open(url, { colorScheme: 'dark', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2 });
  await logIn(page, key);
  for (const path of ['/ui/jobs', `/ui/jobs/${running}`, `/ui/jobs/${running}/items`, '/ui/limits', '/ui/providers', '/ui/providers/github']) {
    await page.goto(path);
    await lookOver(page);
    await picture(page, `phone${path.replaceAll('/', '-').replace(running, 'job')}`);
  }
  await close();
});

await step('without scripts', async () => {
  const { page, close } = await open(url, { javaScriptEnabled: false });
  await logIn(page, key);
  await page.goto(`/ui/jobs/${running}`);
  await state(page, 'succeeded');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByLabel('API key').waitFor();
  await close();
});
await end();
