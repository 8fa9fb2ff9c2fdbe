/* Four ranks, each of which passes an array to the next one, and adds up a number with all others. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST = 200000 };
static int mine[MOST], got[MOST];

static void wrong(const char *what, int rank, int turn)
{
	printf("FAIL: the %s of rank %d in turn %d\n", what, rank, turn);
	fflush(stdout);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char **argv)
{
	int rank, ranks, turn, enough = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	int next = (rank + 1) % ranks, last = (rank + ranks - 1) % ranks;
	for (turn = 0; !enough; turn++) {
		int size = 1 + (int)(turn * 7919L % MOST), sum, own = turn + rank;
		for (int i = 0; i < size; i++)
			mine[i] = rank * 1000003 + turn + i;
		MPI_Sendrecv(mine, size, MPI_INT, next, 0, got, size, MPI_INT, last, 0,
			     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		for (int i = 0; i < size; i++)
			if (got[i] != last * 1000003 + turn + i)
				wrong("array", rank, turn);
		MPI_Allreduce(&own, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
		if (sum != ranks * turn + ranks * (ranks - 1) / 2)
			wrong("sum", rank, turn);
		if (rank == 0 && turn == 1) {
			printf("ready\n");
			fflush(stdout);
		}
		if (rank == 0)
			enough = turn > 1 && access(getenv("ZT_GO"), F_OK) == 0;
		MPI_Bcast(&enough, 1, MPI_INT, 0, MPI_COMM_WORLD);
		usleep(2000);
	}
	return MPI_Finalize();
}
