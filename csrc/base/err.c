#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int zt_fail(zt_err *err, int kind, int os_errno, const char *format, ...)
{
    va_list args;
    err->kind = kind;
    err->os_errno = os_errno;
    err->ended_rtid = 0;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int zt_fail_os(zt_err *err, const char *what)
{
    int saved = errno;
    return zt_fail(err, saved == ESRCH ? ZT_ERR_GONE : ZT_ERR_OS, saved, "%s: %s", what, strerror(saved));
}
