// The timers as they were when this package was loaded: test libraries replace the global ones later.
const { clearTimeout, setImmediate, setTimeout } = globalThis;

export { clearTimeout, setImmediate, setTimeout };
