-- The functions as the store calls them.

-- Writes, whatever was written before: so that replicas can be waited for also behind a call that changed nothing.
local function touch(keys)
  redis.call('SET', keys[1] .. 'written', '1')
  return redis.status_reply('OK')
end

local function register(name, callback, flags)
  local function call(keys, args)
    ones.known = {}
    return callback(keys, args)
  end
  redis.register_function { function_name = '@LIBRARY@_' .. name, callback = call, flags = flags }
end

-- A full store must still be able to drain, so only what adds to it is refused then.
register('put', put, {})
register('quarantine', quarantine, {})
register('take_in', verbs.take_in, {})
register('take', take, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('beat', beat, { 'allow-oom' })
register('leave', leave, { 'allow-oom' })
register('bury', bury, { 'allow-oom' })
register('strays', strays, { 'allow-oom' })
register('doubt', doubt_leases, { 'allow-oom' })
register('meet', meet, { 'allow-oom' })
register('learn', learn, { 'allow-oom' })
register('forget_names', forget_names, { 'allow-oom' })
register('unhold', unhold, { 'allow-oom' })
register('skip', skip, { 'allow-oom' })
register('revive', revive, { 'allow-oom' })
register('again', again, { 'allow-oom' })
register('drop', verbs.drop, { 'allow-oom' })
register('undrop', verbs.undrop, { 'allow-oom' })
register('cancel', verbs.cancel, { 'allow-oom' })
register('replay', verbs.replay, {})
register('rest', rest, { 'allow-oom' })
register('clear', verbs.clear, { 'allow-oom' })
register('look', verbs.look, { 'allow-oom' })
register('pace', pace, { 'allow-oom' })
register('set_quota', quotas.set, { 'allow-oom' })
register('spend_quota', quotas.spend, { 'allow-oom' })
register('pause', pause, { 'allow-oom' })
register('resume', resume, { 'allow-oom' })
register('probe', probe, { 'allow-oom' })
register('hold_source', holds.hold_source, { 'allow-oom' })
register('release_source', holds.release_source, { 'allow-oom' })
register('let_go', holds.let_go, { 'allow-oom' })
register('discard', holds.discard, { 'allow-oom' })
register('forget', acts.forget, { 'allow-oom' })
register('expire', expire, { 'allow-oom' })
register('expire_terms', verbs.expire_terms, { 'allow-oom' })
register('schema_3', touch, { 'allow-oom' }) -- says which schema this library speaks
register('touch', touch, { 'allow-oom' })
register('tell_quotas', quotas.tell, { 'no-writes' })
register('old_news', objects.old_news, { 'no-writes' })
register('newest', newest, { 'no-writes' })
register('story', story, { 'no-writes', 'allow-stale' })
register('examine', checks.examine, { 'no-writes', 'allow-stale' })
register('blocked', checks.blocked, { 'no-writes', 'allow-stale' })
