-- The available actions of an AuroraLogExportPolicy.
local suspended = obj.spec ~= nil and obj.spec.suspend == true
local deleting = obj.metadata.deletionTimestamp ~= nil

return {
  ["suspend"] = { ["disabled"] = suspended or deleting },
  ["resume"] = { ["disabled"] = not suspended or deleting },
  -- A suspended object is not reconciled.
  ["reconcile"] = { ["disabled"] = suspended },
}
