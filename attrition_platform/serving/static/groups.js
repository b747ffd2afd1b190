// Team figures without singling anyone out.

/** Choose the groups that may be shown.
 *
 * A group below the minimum is hidden. What is hidden can be computed as the total minus what is shown, so
 * all that is hidden must together be at least the minimum: until it is, the next smallest group is hidden
 * along. Then it is never one group alone, because a single hidden one would be below the minimum.
 *
 * @template {{name: string, n: number}} G
 * @param {G[]} groups
 * @param {number} minimum people
 * @returns {{shown: G[], hidden: G[]}}
 */
export function withheld(groups, minimum) {
  const bySize = [...groups].sort((a, b) => a.n - b.n || (a.name < b.name ? -1 : 1));
  let nHidden = bySize.filter((group) => group.n < minimum).length;
  const nPeople = () => bySize.slice(0, nHidden).reduce((sum, group) => sum + group.n, 0);
  while (nHidden > 0 && nHidden < bySize.length && nPeople() < minimum) nHidden += 1;
  return { shown: bySize.slice(nHidden), hidden: bySize.slice(0, nHidden) };
}

/** Gather scored rows by a cell.
 * @param {{cells: string[], prediction: object | null}[]} rows
 * @param {number} column position
 */
export function gather(rows, column) {
  const groups = new Map();
  for (const { cells, prediction } of rows) {
    if (prediction === null) continue;
    const name = cells[column].trim();
    let group = groups.get(name);
    if (group === undefined) {
      group = { name, n: 0, sum: 0, tiers: { "very low": 0, "low": 0, "medium": 0, "high": 0 } };
      groups.set(name, group);
    }
    group.n += 1;
    group.sum += prediction.probability;
    group.tiers[prediction.tier] += 1;
  }
  return [...groups.values()];
}

const MOST_GROUPS = 200;

/** Columns that divide people into groups: few different values, and no measurements.
 * @param {string[]} header
 * @param {{cells: string[], prediction: object | null}[]} rows
 * @param {Set<number>} never positions that are no groups, such as the employee id
 * @returns {number[]}
 */
export function groupingColumns(header, rows, never) {
  const scored = rows.filter((row) => row.prediction !== null);
  return header.map((_, position) => position).filter((position) => {
    if (never.has(position)) return false;
    const values = new Set();
    for (const { cells } of scored) {
      values.add(cells[position].trim());
      if (values.size > MOST_GROUPS) return false;
    }
    const areMeasurements = values.size > 12 && [...values].every((v) => v === "" || Number.isFinite(Number(v)));
    return values.size >= 2 && values.size <= scored.length / 2 && !areMeasurements;
  });
}
