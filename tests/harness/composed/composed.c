/* Makes what a script says, one step per argument, and sees that it is there when the go has come.
 *
 *     composed "map 0 3 0 1 7 0" "fork 0" "pipe 0 2 100 3 0" "end 0 0"
 *
 * A step is a word and up to six numbers, each taken modulo what there is: any script is right, and a
 * step that the kernel refuses is none. What stands between fork and end is done by the child; the
 * end says what becomes of it.
 *
 *     SETUP    the script is done, process after process
 *     SETTLE   nothing changes any more: each process notes what it has; then root says ready
 *     CHECK    after the go: each compares what it has, and takes nothing
 *     CONSUME  what waits in pipes, sockets and the like is read by whoever put it there
 *     END      children before parents
 */
#include "attributes.h"
#include "composed.h"
#include "descriptors.h"
#include "memory.h"
#include "sockets.h"

#include <sched.h>

enum ending { LIVES, EXITED, KILLED, STOPPED, STOPPED_SEEN, BURIED, ENDINGS };

struct step {
	char word[16];
	int args[6];
};

struct child {
	pid_t pid;
	enum ending ending;
	int code, status; /* what a wait says at rest; code is 0 for nothing, -1 for no such child */
};

static struct step *steps;
static int step_count;
static struct child children[CHILDREN];
static int child_count;
static bool mortal; /* it will have ended when all is at rest */
static bool led;    /* by another thread than the first, which ends */

/* lead: from its rest on, a child goes on in another thread. */
static void do_lead(const int *a)
{
	led = a[0] & 1;
}

static const struct {
	const char *word;
	void (*make)(const int *args);
} WORDS[] = {
	{"map", do_map}, {"protect", do_protect}, {"advise", do_advise}, {"unmap", do_unmap},
	{"lock", do_lock_memory}, {"remap", do_remap}, {"look", do_look}, {"brk", do_brk},
	{"seal", do_seal_memory}, {"file", do_file}, {"special", do_special}, {"pipe", do_pipe},
	{"pair", do_pair}, {"listen", do_listen}, {"event", do_event}, {"pty", do_pty}, {"dup", do_dup},
	{"close", do_close}, {"fcntl", do_fcntl}, {"signal", do_signal}, {"timer", do_timer},
	{"flight", do_flight}, {"inet", do_inet}, {"option", do_option}, {"policy", do_policy},
	{"tty", do_tty}, {"lead", do_lead}, {"limit", do_limit}, {"place", do_place}, {"set", do_set},
	{"thread", do_thread},
};

static int run(int at);

/* The step that ends the block that begins at `at`; a script may lack it. */
static int end_of(int at)
{
	for (int depth = 0; at < step_count; at++) {
		depth += strcmp(steps[at].word, "fork") == 0;
		if (strcmp(steps[at].word, "end") == 0 && depth-- == 0)
			break;
	}
	return at;
}

static void look_at_child(struct child *it, int options)
{
	siginfo_t info = {0};
	int result;
	while ((result = waitid(P_PID, (id_t)it->pid, &info, options | __WALL)) && errno == EINTR)
		;
	it->code = result ? -1 : info.si_code;
	it->status = result ? 0 : info.si_status;
}

static void arrive(enum phase phase)
{
	control->arrived[phase]++;
	wait_phase(phase + 1);
}

static void settle(void)
{
	for (struct child *it = children; it < children + child_count; it++) {
		if (it->ending == STOPPED || it->ending == STOPPED_SEEN)
			look_at_child(it, WSTOPPED | (it->ending == STOPPED ? WNOWAIT : 0));
		if (it->ending != LIVES)
			look_at_child(it, WSTOPPED | WEXITED | WNOHANG | WNOWAIT);
	}
	settle_memory();
	settle_descriptors();
	note_self(&settled);
}

static void check(void)
{
	for (struct child *it = children; it < children + child_count; it++) {
		struct child now = *it;
		if (it->ending == LIVES)
			continue;
		look_at_child(&now, WSTOPPED | WEXITED | WNOHANG | WNOWAIT);
		zt_same(now.code, it->code);
		zt_same(now.status, it->status);
		if (it->ending == STOPPED || it->ending == STOPPED_SEEN)
			kill(it->pid, SIGCONT);
	}
	check_memory();
	check_descriptors();
	check_self();
	end_threads();
}

static void bury_children(void)
{
	for (struct child *it = children; it < children + child_count; it++) {
		int status = 0;
		while (it->code != -1 && waitpid(it->pid, &status, __WALL) < 0 && errno == EINTR)
			;
		if (it->ending != EXITED && it->ending != KILLED && status)
			zt_fail("child %d ended with %#x", (int)it->pid, (unsigned)status);
	}
}

/* A process that lives, from its rest to its end. */
static void *life(void *of)
{
	enum ending ending = *(enum ending *)of;
	wait_phase(SETTLE);
	settle();
	control->arrived[SETTLE]++;
	if (ending != LIVES)
		raise(SIGSTOP);
	wait_phase(CHECK);
	check();
	arrive(CHECK);
	check_untouched();
	consume_descriptors();
	arrive(CONSUME);
	bury_children();
	_exit(0);
}

static _Noreturn void live(enum ending ending)
{
	static enum ending mine;
	pthread_t thread;
	mine = ending;
	if (led && pthread_create(&thread, NULL, life, &mine) == 0)
		pthread_exit(NULL);
	life(&mine);
	_exit(0);
}

static _Noreturn void child_main(int at, int rested, enum ending ending, int value)
{
	child_count = rest_count = handled = 0;
	led = false;
	mortal = ending == EXITED || ending == KILLED || ending == BURIED;
	inherit_descriptors();
	run(at + 1);
	control->rested[rested] = 1;
	if (ending == KILLED) {
		static const int DEADLY[] = {SIGKILL, SIGTERM, SIGSEGV, SIGABRT};
		signal(pick_from(DEADLY, value), SIG_DFL);
		sigset_t all;
		sigfillset(&all);
		sigprocmask(SIG_UNBLOCK, &all, NULL); /* another that waits may be the one */
		raise(pick_from(DEADLY, value));
	}
	if (mortal)
		_exit(value & 255);
	live(ending);
}

/* Of what it should not have died. */
static bool died(struct child *it, int rested)
{
	look_at_child(it, WEXITED | WNOHANG | WNOWAIT);
	if ((it->code == CLD_KILLED || it->code == CLD_DUMPED) && !control->rested[rested])
		zt_fail("process %d: child %d died of signal %d before it was at rest", (int)getpid(),
			(int)it->pid, it->status);
	return false;
}

/* What a child may share with its parent, and what it tells it at its end. */
static pid_t fork_as(int how)
{
	static const unsigned long FLAGS[] = {
		SIGCHLD, SIGCHLD, SIGCHLD, SIGCHLD | CLONE_FS, SIGCHLD | CLONE_FILES, 0, SIGURG,
		SIGCHLD | CLONE_FS | CLONE_FILES,
	};
	unsigned long flags = pick_from(FLAGS, how);
	if (flags == SIGCHLD)
		return fork();
	shares_numbers |= (flags & CLONE_FILES) != 0;
	return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
}

/* fork APART GROUP: apart, its parent ends at once; the step after which the child's script ends. */
static int do_fork(int at)
{
	int end = end_of(at + 1);
	const int *a = steps[at].args, *at_end = steps[end < step_count ? end : at].args;
	enum ending ending = end < step_count ? (unsigned)at_end[0] % ENDINGS : LIVES;
	bool apart = a[0] % 3 == 2;
	int rested = control->forks++;
	if (rested >= FORKS || child_count == CHILDREN)
		return end;
	if ((apart || mortal) && (ending == STOPPED || ending == STOPPED_SEEN))
		ending = LIVES; /* who would continue it */
	bool alive = ending == LIVES || ending == STOPPED || ending == STOPPED_SEEN;
	control->alive += alive;
	pid_t pid = fork_as(a[1]);
	if (pid == 0) {
		if (a[1] % 3 == 1)
			setpgid(0, 0);
		if (a[1] % 3 == 2)
			setsid();
		pid_t own = apart ? fork() : 0;
		if (own == 0)
			child_main(at, rested, ending, at_end[1]);
		if (own < 0) {
			control->alive -= alive;
			control->rested[rested] = 1;
		}
		_exit(0);
	}
	if (pid < 0) {
		control->alive -= alive;
		return end;
	}
	struct child child = {.pid = pid, .ending = apart ? BURIED : ending};
	until(control->rested[rested] || died(&child, rested));
	if (a[2] % 3 == 0)
		do_pidfd(pid, a[2] % 2);
	if (!alive || apart)
		look_at_child(&child, WEXITED | (child.ending == BURIED ? 0 : WNOWAIT));
	if (child.ending != BURIED)
		children[child_count++] = child;
	return end;
}

/* The steps from `at` to the end of their block. */
static int run(int at)
{
	for (; at < step_count && strcmp(steps[at].word, "end"); at++) {
		const struct step *step = &steps[at];
		if (strcmp(step->word, "fork") == 0)
			at = do_fork(at);
		for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
			if (strcmp(step->word, WORDS[i].word) == 0)
				WORDS[i].make(step->args);
	}
	return at;
}

static void next_phase(enum phase phase)
{
	control->phase = phase;
	syscall(SYS_futex, &control->phase, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
}

/* All have done what belongs to the phase. */
static void all_arrived(enum phase phase)
{
	until(control->arrived[phase] == control->alive);
	next_phase(phase + 1);
}

int main(int argc, char **argv)
{
	control = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(control != MAP_FAILED);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* of sessions whose leaders end */
	step_count = argc - 1;
	steps = calloc((size_t)argc, sizeof *steps);
	zt_check(steps != NULL);
	for (int i = 0; i < step_count; i++) {
		int *a = steps[i].args;
		zt_check(sscanf(argv[i + 1], "%15s %d %d %d %d %d %d", steps[i].word, a, a + 1, a + 2,
				a + 3, a + 4, a + 5) > 0);
	}
	control->root = getpid();
	argv_at = argc > 1 ? argv[1] : NULL;
	argv_length = argc > 1 ? strlen(argv[1]) : 0;
	run(0);
	next_phase(SETTLE);
	settle();
	until(control->arrived[SETTLE] == control->alive);
	zt_say_ready();
	while (!zt_may_go())
		usleep(10000);
	next_phase(CHECK);
	check();
	all_arrived(CHECK);
	check_untouched();
	consume_descriptors();
	all_arrived(CONSUME);
	bury_children();
	return zt_pass();
}
