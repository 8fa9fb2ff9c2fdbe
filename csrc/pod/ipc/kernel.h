/* What the kernel tells of a System V object, and how it is asked. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The structures of the kernel's (include/uapi/asm-generic/{ipc,shm,sem,msg}buf.h, and x86's sembuf.h). */
typedef struct zt_ipc_perm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, pad;
    uint64_t unused[2];
} zt_ipc_perm;

typedef struct zt_shm_ds {
    zt_ipc_perm perm;
    uint64_t size;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t nattch, unused[2];
} zt_shm_ds;

typedef struct zt_sem_ds {
    zt_ipc_perm perm;
    int64_t otime, unused1, ctime, unused2;
    uint64_t nsems, unused3[2];
} zt_sem_ds;

typedef struct zt_msg_ds {
    zt_ipc_perm perm;
    int64_t stime, rtime, ctime;
    uint64_t cbytes, qnum, qbytes;
    int32_t lspid, lrpid;
    uint64_t unused[2];
} zt_msg_ds;

typedef union zt_ipc_ds {
    zt_ipc_perm perm;
    zt_shm_ds shm;
    zt_sem_ds sem;
    zt_msg_ds msg;
} zt_ipc_ds;


enum { ZT_SHM_DEST = 01000 };

size_t zt_ipc_ds_size(int32_t kind);

/* shmctl, semctl or msgctl. */
long zt_ipc_control(int32_t kind, int32_t rid, int command, void *argument);

/* False: it is gone. */
bool zt_ipc_look_at(int32_t kind, int32_t rid, zt_ipc_ds *ret);

/* Its stamps (zt_ipc in api.h): how many there are. */
int zt_ipc_stamps(int32_t kind, const zt_ipc_ds *ds, int64_t *ret);
