/** Of many calls, the last one, once it has been quiet. */

/**
 * @param {() => void} act
 * @param {number} [quiet_ms]
 */
export function debounced(act, quiet_ms = 250) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, quiet_ms);
  };
}
