/* Notes in the store that are about sockets, or files that never had a name: their keys begin with the inode of one.
 *
 * Nobody tells us of the end of one, so notes of those that are no more are forgotten now and
 * then. A number may be another socket's by then: who makes a note of one removes what was there. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct zt_pod;
struct zt_task;

/* The inode of a thread's descriptor; false if that is no socket (any more). */
bool zt_socket_inode(const struct zt_task *task, int fd, uint64_t *ret);
/* The inode of a file that a thread has open and that was made without a name; false if it is none. */
bool zt_temporary_inode(const struct zt_task *task, int fd, uint64_t *ret);
/* After one more was made: forget, if that has become worth it. */
void zt_socket_notes_tidy(struct zt_pod *pod);
