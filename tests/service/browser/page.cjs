// Goes through the service's page in a real browser. Who starts it reads one line for each step that held; after a line
// `look NAME` it answers with a line of its own once it has looked into the warehouse.
'use strict';

const { chromium } = require(`${process.env.TABLECAST_BROWSER_MODULES}/playwright-core`);
const readline = require('node:readline');

// The service, its token, the name of a warehouse that is down, and syncs of each ending.
const [base, token, odd, success, partial, failure] = process.argv.slice(2);
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const PATIENCE = 60_000;

function must(holds, what) {
  if (!holds) throw new Error(what);
}

function same(is, should, what) {
  must(JSON.stringify(is) === JSON.stringify(should), `${what}: ${JSON.stringify(is)} should be ${JSON.stringify(should)}`);
}

async function look(name) {
  console.log(`look ${name}`);
  await answers.next();
}

async function send(...calls) {
  const body = JSON.stringify({ writeKey: 'demo', batch: calls });
  const answer = await fetch(`${base}/v1/batch`, { method: 'POST', body });
  must(answer.ok, `calls were answered with ${answer.status}`);
}

const steps = {
  async 'a wrong token is refused, the right one lets in, by keyboard'({ page, complaints }) {
    await page.goto(`${base}/warehouses/main`);
    same(await page.evaluate(() => document.activeElement.id), 'token', 'where typing begins');
    await page.keyboard.type('wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').waitFor();
    // A refused page is an error in the browser's console; it is the only one that may be there.
    must(complaints.splice(0).every((line) => line.includes('401')), 'the console tells of more than the refusal');
    await page.keyboard.type(token);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'main' }).waitFor();
    same(new URL(page.url()).pathname, '/warehouses/main', 'the page that was asked for');
  },

  async 'the overview tells sources, warehouses, upcoming and past syncs'({ page }) {
    await page.getByRole('link', { name: 'Overview' }).first().click();
    const sources = page.getByRole('table', { name: 'Sources' });
    must((await sources.getByRole('rowheader').allInnerTexts())[0].startsWith('personas_default'), 'no source personas_default');
    const received = await sources.getByRole('row').nth(1).getByRole('cell').first().innerText();
    must(Number(received) >= 3, `${received} calls received`);
    const upcoming = page.getByRole('table', { name: 'Upcoming syncs' });
    must((await upcoming.innerText()).includes('personas_default'), 'no upcoming sync of personas_default');
    must((await upcoming.locator('time').count()) >= 2, 'upcoming syncs have no time');
    const past = page.getByRole('table', { name: 'Past syncs' });
    const row = (name) => past.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
    for (const [id, status] of [[success, 'Success'], [partial, 'Partial'], [failure, 'Failure']]) {
      must((await row(`Sync ${id}`).innerText()).includes(status), `sync ${id} is no ${status}`);
    }
    const warehouses = page.getByRole('table', { name: 'Warehouses' });
    must((await warehouses.innerText()).includes('Backing off'), 'the warehouse that is down is not told');
    must((await page.getByRole('main').innerText()).includes('personas_default: '), 'why it is down is not told');
  },

  async 'a sync tells its durations, tables, columns and discards'({ page }) {
    await page.getByRole('table', { name: 'Past syncs' }).getByRole('link', { name: `Sync ${partial}`, exact: true }).click();
    await page.getByRole('heading', { level: 1, name: `Sync ${partial}` }).waitFor();
    for (const name of ['Preparation', 'Loading']) {
      const value = await page.locator('.tiles div', { hasText: name }).locator('dd').innerText();
      must(/\d+ (ms|s)/.test(value), `${name}: ${value}`);
    }
    const counts = page.getByRole('table', { name: 'Tables' }).getByRole('row').filter({ hasText: 'identifies' });
    const cells = (await counts.getByRole('cell').allInnerTexts()).map(Number);
    same(cells[0], cells.slice(1).reduce((sum, count) => sum + count, 0), 'received is the sum of the others');
    const reasons = await page.getByRole('table', { name: 'Discards by reason' }).innerText();
    must(reasons.includes('type_conflict'), 'no reason for the discard');
    must((await page.getByRole('region', { name: 'Tables made and columns added' }).innerText()).includes('add column users.plan'), 'no column that was added');
    await page.goBack();
  },

  async 'a trait goes off, and its values are not loaded'({ page }) {
    await page.goto(`${base}/warehouses/main`);
    const plan = page.getByRole('checkbox', { name: /^plan/ });
    must(await plan.isChecked(), 'the trait is not on');
    await plan.uncheck();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').waitFor();
    must(!(await page.getByRole('checkbox', { name: /^plan/ }).isChecked()), 'the trait is still on');
    await send({ type: 'identify', userId: 'u9', messageId: 'm9', traits: { plan: 'gold', city: 'Ulm' } });
    await sync(page);
    await look('off');
  },

  async 'the trait comes on again, and the gap is filled'({ page }) {
    await page.getByRole('checkbox', { name: /^plan/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('status').waitFor();
    await page.goto(`${base}/warehouses/main?follow=1`);
    const fill = page.getByRole('row').filter({ has: page.getByRole('link', { name: /^Fill / }) });
    await fill.filter({ hasText: 'Success' }).first().waitFor({ timeout: PATIENCE });
    await fill.getByRole('link').first().click();
    must((await page.getByRole('main').innerText()).includes('plan'), 'the fill does not say what it filled');
    await look('on');
  },

  async 'everything is reached by keyboard, and one sees where one is'({ page }) {
    await page.goto(`${base}/`);
    await page.keyboard.press('Tab');
    const skip = page.getByRole('link', { name: 'Skip to the content' });
    must(await skip.evaluate((link) => link === document.activeElement && link.getBoundingClientRect().left >= 0), 'no skip link first');
    await page.keyboard.press('Enter');
    same(await page.evaluate(() => document.activeElement.id), 'main', 'where the skip link leads');
    await page.goto(`${base}/`);
    const count = await page.locator('a[href], button, input:not([type=hidden]), select, summary').count();
    const seen = new Set();
    for (let at = 0; at < count; at++) {
      await page.keyboard.press('Tab');
      const focus = await page.evaluate(() => {
        const on = document.activeElement, style = getComputedStyle(on), box = on.getBoundingClientRect();
        const shown = box.width > 1 && box.right > 0 && box.bottom > 0 && box.top < innerHeight;
        return { name: on.innerText.trim(), ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, shown };
      });
      must(focus.ring && focus.shown, `the focus on "${focus.name}" is not seen`);
      seen.add(focus.name);
    }
    must(seen.has('Sign out') && seen.has('main') && seen.has('The whole history'), `only ${[...seen].join(', ')}`);
    await page.goto(`${base}/warehouses/main`);
    for (let at = 0; at < 30; at++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement.innerText === 'Sync now')) break;
    }
    await page.keyboard.press('Enter');
    await page.getByRole('status').filter({ hasText: 'A sync was asked for' }).waitFor();
  },

  async 'pages have landmarks, headings, labels and table headers'({ page, paths }) {
    for (const path of paths) {
      await page.goto(base + path);
      const wrong = await page.evaluate(() => {
        const wrong = [];
        const one = (what) => document.querySelectorAll(what).length === 1 || wrong.push(`not one ${what}`);
        ['h1', 'main', 'body > header', 'body > footer', 'title', 'html[lang]'].forEach(one);
        const levels = [...document.querySelectorAll('h1, h2, h3')].map((heading) => Number(heading.tagName[1]));
        levels.forEach((level, at) => at > 0 && level > levels[at - 1] + 1 && wrong.push(`a heading is skipped before h${level}`));
        for (const table of document.querySelectorAll('table')) {
          if (!document.getElementById(table.getAttribute('aria-labelledby'))?.innerText) wrong.push('a table has no name');
          if ([...table.querySelectorAll('th')].some((th) => !th.scope)) wrong.push('a header has no scope');
          const columns = table.querySelectorAll('thead th').length;
          if ([...table.querySelectorAll('tbody tr')].some((row) => row.children.length !== columns)) wrong.push('a row is short');
        }
        for (const field of document.querySelectorAll('input:not([type=hidden]), select, progress')) {
          if (!field.labels?.length && !field.getAttribute('aria-label')) wrong.push(`${field.name} has no label`);
        }
        for (const named of document.querySelectorAll('a, button, summary')) {
          if (!named.innerText.trim()) wrong.push('a link or button has no name');
        }
        const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
        if (new Set(ids).size !== ids.length) wrong.push('an id is there twice');
        for (const time of document.querySelectorAll('time')) {
          if (!/^\d{4}-\d\d-\d\dT[\d:]+Z$/.test(time.dateTime) || !time.innerText.includes('UTC')) wrong.push(`the time ${time.innerText}`);
        }
        return wrong;
      });
      same(wrong, [], path);
    }
  },

  async 'text stands out, in light and in dark'({ page, paths }) {
    const grounds = new Set();
    for (const scheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const path of paths) {
        await page.goto(base + path);
        await shoot(page, path, scheme);
        const { ground, faint } = await page.evaluate(contrast);
        same(faint, [], `${path} in ${scheme}`);
        grounds.add(ground);
      }
    }
    same(grounds.size, 2, 'backgrounds');
    await page.emulateMedia({ colorScheme: null });
  },

  async 'a phone shows every page without scrolling sideways'({ page, paths }) {
    const size = page.viewportSize();
    for (const width of [360, 768, 1024]) {
      await page.setViewportSize({ width, height: 740 });
      for (const path of paths) {
        await page.goto(base + path);
        await shoot(page, path, String(width));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        same(wide, 0, `${path} at ${width} px is too wide by`);
        const cut = await page.evaluate(() =>
          [...document.querySelectorAll('main *')]
            .filter((element) => !element.closest('.hidden, thead') && element.getBoundingClientRect().right > innerWidth + 1)
            .map((element) => element.className || element.tagName));
        same(cut, [], `${path} at ${width} px: beyond the edge`);
      }
    }
    await page.setViewportSize(size);
  },

  async 'who signs out is out'({ page }) {
    await page.goto(`${base}/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.goto(`${base}/syncs/${success}`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  },
};

/** Presses "Sync now", and follows until it is a success. */
async function sync(page) {
  await page.goto(`${base}/warehouses/main`);
  const names = page.getByRole('table', { name: 'Past syncs' }).getByRole('link', { name: /^Sync / });
  const before = await names.count();
  await page.getByRole('button', { name: 'Sync now' }).first().click();
  await page.getByRole('status').filter({ hasText: 'A sync was asked for' }).waitFor();
  const newest = page.getByRole('table', { name: 'Past syncs' }).getByRole('row').nth(1);
  const begun = Date.now();
  // The page follows by itself; nothing is loaded anew here.
  while ((await names.count()) <= before || !/Success|Partial/.test(await newest.innerText())) {
    must(Date.now() - begun < PATIENCE, 'the sync does not come to its end');
    await page.waitForEvent('load', { timeout: PATIENCE });
  }
  await page.goto(`${base}/warehouses/main`);
}

/** The text that is too close to what is behind it: a ratio below 4.5. */
function contrast() {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const parts = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((of) => of / 255).map((of) => (of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const element = text.parentElement, style = getComputedStyle(element);
    if (!text.data.trim() || element.closest('style, .hidden, .skip, title') || style.visibility === 'hidden') continue;
    const [one, other] = [light(parts(style.color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faint.push(`${text.data.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return { ground: getComputedStyle(document.body).backgroundColor, faint };
}

/** Keeps a picture for who wants to look, if a folder is named. */
async function shoot(page, path, how) {
  const folder = process.env.TABLECAST_SCREENSHOTS;
  const name = path.replace(/[^a-z0-9]+/g, '-').slice(0, 40);
  if (folder) await page.screenshot({ path: `${folder}/page${name}-${how}.png`, fullPage: true });
}

async function run() {
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];
  const browser = await chromium.launch({ executablePath: process.env.TABLECAST_CHROMIUM, headless: true, args, timeout: PATIENCE });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(PATIENCE);
    const complaints = [], strangers = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('requestfailed', (request) => request.failure()?.errorText !== 'net::ERR_ABORTED' && complaints.push(request.url()));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== base && url.protocol !== 'data:') strangers.push(request.url());
    });
    const down = '/warehouses/' + encodeURIComponent(odd);
    const paths = ['/', '/syncs', `/syncs/${success}`, `/syncs/${partial}`, `/syncs/${failure}`, '/warehouses/main', down];
    for (const [name, step] of Object.entries(steps)) {
      await step({ page, complaints, paths });
      same(complaints, [], `the console, after "${name}"`);
      same(strangers, [], `requests to other hosts, after "${name}"`);
      console.log(`ok ${name}`);
    }
    console.log('all');
  } finally {
    await browser.close();
  }
}

run().then(() => process.exit(0), (error) => {
  console.error(error.stack ?? error);
  process.exit(1);
});
