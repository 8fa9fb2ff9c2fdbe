# A stencil over 4 processes that exchange their edges (MPI).
need mpicc mpirun
cat >s.c <<'END'
#include <mpi.h>
#include <stdio.h>
#define N 20000
int main(int argc, char **argv)
{
    static double a[N + 2], b[N + 2];
    int me, n;
    double mine = 0, all;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me), MPI_Comm_size(MPI_COMM_WORLD, &n);
    for (int i = 1; i <= N; i++) a[i] = me;
    for (int step = 0; step < 500; step++) {
        int left = (me + n - 1) % n, right = (me + 1) % n;
        MPI_Sendrecv(&a[N], 1, MPI_DOUBLE, right, 0, &a[0], 1, MPI_DOUBLE, left, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Sendrecv(&a[1], 1, MPI_DOUBLE, left, 1, &a[N + 1], 1, MPI_DOUBLE, right, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int i = 1; i <= N; i++) b[i] = (a[i - 1] + a[i] + a[i + 1]) / 3;
        for (int i = 1; i <= N; i++) a[i] = b[i];
    }
    for (int i = 1; i <= N; i++) mine += a[i];
    MPI_Reduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (me == 0) printf("%.0f\n", all);
    MPI_Finalize();
    return 0;
}
END
mpicc -O2 -o s s.c
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 HOME="$w"
begin
got=$(mpirun --oversubscribe -n 4 --mca btl self,tcp ./s 2>/dev/null)
end
right "$got" 120000
