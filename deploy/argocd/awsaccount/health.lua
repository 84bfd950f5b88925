-- Health of an AwsAccount. `Healthy` only if the operator has reported the current generation.
local function condition(kind)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, candidate in ipairs(obj.status.conditions) do
      if candidate.type == kind then
        return candidate
      end
    end
  end
  return nil
end

local function health(status, message)
  return { status = status, message = message }
end

local ready = condition("Ready")
local message = ready ~= nil and ready.message or nil

-- Argo CD handles deletion before it runs a script; this branch is for other users of the script.
if obj.metadata.deletionTimestamp ~= nil then
  if ready ~= nil and ready.reason == "InUse" then
    return health("Progressing", message)
  end
  return health("Progressing", "Waiting for policies that refer to this account")
end

-- A new object has observedGeneration -1, by the default in the schema.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation or ready == nil then
  return health("Progressing", "Waiting for the operator to observe this generation")
end
-- A condition of an older generation does not apply.
if ready.observedGeneration ~= nil and ready.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "Waiting for the operator to observe this generation")
end

local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message or message)
end
local reconciling = condition("Reconciling")
if reconciling ~= nil and reconciling.status == "True" then
  return health("Progressing", message or reconciling.message)
end
if ready.status == "True" then
  return health("Healthy", message)
end
return health("Progressing", message)
