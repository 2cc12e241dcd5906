// How long the tests wait. All limits are here: machines may be busy with other things, so that none tells how fast
// something is, only that it never comes.

/** How long a page, an element of it, or the browser is waited for, in milliseconds. */
export const PATIENCE = 300_000;

/**
 * Limits where Playwright has none or does not say which request a page waits for: of a page's coming, and of what it computes, which may
 * be a whole clip on an imitated graphics device.
 */
const LIMITS = { coming: PATIENCE - 1000, work: 1_200_000 };

/** What `promise` gives, or an error that says what did not come, after `limit` milliseconds. */
async function within(limit, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(what())), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The page, with these limits; where one is reached, the error says what it waited for. */
function patient(page, limits) {
  const unanswered = new Set();
  page.on('request', (request) => unanswered.add(request));
  for (const event of ['requestfinished', 'requestfailed']) page.on(event, (request) => unanswered.delete(request));
  const waiting = () => [...unanswered].map((request) => request.url()).join(', ') || 'no request';
  const bound = (method, limit, what) => {
    const original = page[method].bind(page);
    page[method] = (...args) => within(limit, original(...args), () => `${what(...args)} within ${limit / 1000} s; unanswered: ${waiting()}`);
  };
  bound('goto', limits.coming, (address) => `${address} did not load`);
  bound('reload', limits.coming, () => `${page.url()} did not load again`);
  bound('evaluate', limits.work, () => `a script in ${page.url()} did not end`);
  return page;
}

/** The browser, whose pages wait as long as this file says, or as `limits`. */
export function patiently(browser, limits = LIMITS) {
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    context.setDefaultTimeout(PATIENCE);
    const newPage = context.newPage.bind(context);
    context.newPage = async () => patient(await newPage(), limits);
    return context;
  };
  return browser;
}
