-- Which actions an AuroraLogExportPolicy offers now.
local suspended = obj.spec ~= nil and obj.spec.suspend == true
local deleting = obj.metadata.deletionTimestamp ~= nil

return {
  ["suspend"] = { ["disabled"] = suspended or deleting },
  ["resume"] = { ["disabled"] = not suspended or deleting },
  -- A suspended object makes no AWS calls, so there is nothing to look at.
  ["reconcile"] = { ["disabled"] = suspended },
}
