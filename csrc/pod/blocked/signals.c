#include "signals.h"

#include <signal.h>

#include "seen.h"

static uint64_t bit_of(int signal)
{
    return 1ull << (signal - 1);
}

static uint64_t without_effect(const zt_signal_sets *sets)
{
    const uint64_t by_default = bit_of(SIGCHLD) | bit_of(SIGCONT) | bit_of(SIGURG) | bit_of(SIGWINCH);
    return (sets->ignored | by_default) & ~sets->caught;
}

bool zt_signal_waits(int32_t rtid)
{
    zt_signal_sets sets;
    return zt_seen_signals(rtid, &sets) && (sets.own | sets.shared) & ~sets.blocked & ~without_effect(&sets);
}

bool zt_signal_waits_for_nothing(int32_t rtid)
{
    zt_signal_sets sets;
    return zt_seen_signals(rtid, &sets) && sets.shared & ~sets.blocked & without_effect(&sets);
}

bool zt_signal_is_next(int32_t rtid)
{
    zt_signal_sets sets;
    return zt_seen_signals(rtid, &sets) && (sets.own | sets.shared) & ~sets.blocked;
}

bool zt_signal_does_nothing(int32_t rtid, int signal)
{
    zt_signal_sets sets;
    return zt_seen_signals(rtid, &sets) && without_effect(&sets) & bit_of(signal);
}
