/**
 * Refuses to run a test against what was built last: without the condition
 * `@agent-store/source`, the name `agent-store` means `dist/`, and a test would pass on old code.
 *
 * @module
 */
if (import.meta.resolve('agent-store') !== new URL('../src/index.ts', import.meta.url).href) {
  throw new Error(
    'a test runs on src/ alone: npm run test:one -- FILE, or node -C @agent-store/source --test FILE',
  )
}

export {}
