/* Parents, groups, sessions and a zombie: ids and relations stay as they were. */
#include "zt_test.h"

struct who {
	pid_t pid, ppid, pgid, sid;
};

static struct who me(void)
{
	return (struct who){getpid(), getppid(), getpgid(0), getsid(0)};
}

static void child(int tell, int hear)
{
	struct who before = me(), after;
	char byte;
	zt_same(write(tell, &before, sizeof before), sizeof before);
	zt_same(read(hear, &byte, 1), 1);
	after = me();
	zt_same(after.pid, before.pid);
	zt_same(after.ppid, before.ppid);
	zt_same(after.pgid, before.pgid);
	zt_same(after.sid, before.sid);
}

int main(void)
{
	int tell[2], hear[2];
	struct who seen[4];
	pid_t pid[4];
	zt_must(pipe(tell));
	zt_must(pipe(hear));
	for (int i = 0; i < 4; i++) {
		pid[i] = zt_must(fork());
		if (pid[i] == 0) {
			if (i == 1)
				zt_must(setpgid(0, 0));
			if (i == 2)
				zt_must(setsid());
			if (i == 3) { /* a child of its own, in a group of its own */
				pid_t grandchild = zt_must(fork());
				if (grandchild == 0) {
					zt_must(setpgid(0, 0));
					child(tell[1], hear[0]);
					_exit(0);
				}
				zt_join(grandchild);
				_exit(0);
			}
			child(tell[1], hear[0]);
			_exit(i);
		}
	}
	pid_t zombie = zt_must(fork());
	if (zombie == 0)
		_exit(77);
	siginfo_t info;
	zt_must(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT));
	for (int i = 0; i < 4; i++)
		zt_same(read(tell[0], &seen[i], sizeof seen[i]), sizeof seen[i]);
	struct who mine = me();

	zt_ready();

	struct who now = me();
	zt_same(now.pid, mine.pid);
	zt_same(now.ppid, mine.ppid);
	zt_same(now.pgid, mine.pgid);
	zt_same(now.sid, mine.sid);
	zt_same(getpgid(pid[1]), pid[1]);
	zt_same(getsid(pid[2]), pid[2]);
	zt_same(getsid(pid[1]), mine.sid);
	zt_must(kill(pid[0], 0));
	zt_same(write(hear[1], "....", 4), 4);
	int status;
	for (int i = 0; i < 4; i++) {
		zt_same(waitpid(pid[i], &status, 0), pid[i]);
		zt_same(status, i == 3 ? 0 : i << 8);
	}
	zt_same(waitpid(-1, &status, 0), zombie);
	zt_same(WEXITSTATUS(status), 77);
	zt_check(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
	return zt_pass();
}
