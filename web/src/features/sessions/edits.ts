export interface Editable {
  mission: string
  operator: string
  notes: string
  tags: string[]
}

/** Only what was changed is sent: a robot may change other fields at the same time. */
export function editOf(before: Editable, after: Editable): Partial<Editable> {
  const out: Partial<Editable> = {}
  if (before.mission !== after.mission) out.mission = after.mission
  if (before.operator !== after.operator) out.operator = after.operator
  if (before.notes !== after.notes) out.notes = after.notes
  if (JSON.stringify(before.tags) !== JSON.stringify(after.tags)) out.tags = after.tags
  return out
}
