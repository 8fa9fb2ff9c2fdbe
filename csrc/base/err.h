/* Errors of fallible functions: they return -1 and say why in a zt_err. */
#pragma once
#include <stdint.h>

#include "../api.h"

/* Fill *err and return -1, so that a caller can `return zt_fail(...)`. */
int zt_fail(zt_err *err, int kind, int os_errno, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As zt_fail with the current errno: ESRCH of a ptrace request means that the tracee died. */
int zt_fail_os(zt_err *err, const char *what);
