/* The solver of package fdtd as a program for MPI: the same numbers by the same operations, so
   that the sum it prints is that of the Go program.

	mpicc -O2 -ffp-contract=off fdtd.c		(-msse2 -mfpmath=sse where an int has 32 bits)
	mpiexec -n 2 ./a.out ROWS COLUMNS STEPS [HALO]

   It prints ranks, the sum of the fields in hexadecimal, and nanoseconds.  */

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COURANT 0.5

static int nx, ny, steps, halo = 8, rank, ranks;
static int lo, hi, from, to, fresh; /* as in fdtd.go */
static double *ez, *hx, *hy, *eps;

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

static double
pulse(int step)
{
	double t = (step - 60.0) / 60, x;
	if (t > 1)
		return 0;
	x = 1 - t * t;
	x *= x;
	return x * x;
}

static void
step_h(int a, int b)
{
	for (int i = a; i < b; i++) {
		size_t r = (size_t)(i - from) * ny;
		for (int j = 0; j < ny - 1; j++) {
			double e = ez[r + j];
			hx[r + j] -= COURANT * (ez[r + j + 1] - e);
			hy[r + j] += COURANT * (ez[r + ny + j] - e);
		}
	}
}

static void
step_e(int a, int b, int step)
{
	for (int i = a; i < b; i++) {
		size_t r = (size_t)(i - from) * ny;
		for (int j = 1; j < ny - 1; j++)
			ez[r + j] += eps[r + j] * (hy[r + j] - hy[r - ny + j] - hx[r + j] + hx[r + j - 1]);
		if (i == nx / 2)
			ez[r + ny / 2] += pulse(step);
	}
}

/* copy copies halo rows of all fields from a row on, out of a buffer or into it.  */
static void
copy(double *buf, int row, int in)
{
	double *f[] = {ez, hx, hy};
	size_t n = (size_t)halo * ny;
	for (int k = 0; k < 3; k++) {
		double *x = f[k] + (size_t)(row - from) * ny, *b = buf + k * n;
		memcpy(in ? x : b, in ? b : x, n * sizeof *x);
	}
}

static uint64_t
fnv(uint64_t h, const void *p, size_t n)
{
	for (const unsigned char *b = p; n > 0; b++, n--)
		h = (h ^ *b) * 1099511628211u;
	return h;
}

static const uint64_t offset = 14695981039346656037u;

int
main(int argc, char **argv)
{
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	if (argc < 4) {
		fprintf(stderr, "usage: fdtd ROWS COLUMNS STEPS [HALO]\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}
	nx = atoi(argv[1]), ny = atoi(argv[2]), steps = atoi(argv[3]);
	if (argc > 4)
		halo = atoi(argv[4]);
	halo = min(max(halo, 1), nx / ranks);
	lo = (long long)rank * nx / ranks, hi = (long long)(rank + 1) * nx / ranks;
	from = max(0, lo - halo), to = min(nx, hi + halo);
	size_t n = (size_t)(to - from) * ny;
	ez = calloc(n, sizeof *ez), hx = calloc(n, sizeof *hx), hy = calloc(n, sizeof *hy), eps = calloc(n, sizeof *eps);
	double *buf[4];
	for (int i = 0; i < 4; i++)
		buf[i] = malloc(3 * (size_t)halo * ny * sizeof(double));
	for (int i = from; i < to; i++)
		for (int j = 0; j < ny; j++) {
			double x = i - 0.75 * nx, y = j - 0.5 * ny, e = 1, r = 0.15 * nx;
			if (x * x + y * y < r * r)
				e = 2.25;
			eps[(size_t)(i - from) * ny + j] = COURANT / e;
		}
	fresh = halo;
	MPI_Barrier(MPI_COMM_WORLD);
	double began = MPI_Wtime();
	int count = 3 * halo * ny;
	for (int step = 0; step < steps; step++, fresh--) {
		if (fresh == 0) {
			MPI_Request req[4];
			int k = 0;
			if (rank > 0) {
				copy(buf[0], lo, 0);
				MPI_Irecv(buf[2], count, MPI_DOUBLE, rank - 1, 1, MPI_COMM_WORLD, &req[k++]);
				MPI_Isend(buf[0], count, MPI_DOUBLE, rank - 1, 1, MPI_COMM_WORLD, &req[k++]);
			}
			if (rank < ranks - 1) {
				copy(buf[1], hi - halo, 0);
				MPI_Irecv(buf[3], count, MPI_DOUBLE, rank + 1, 1, MPI_COMM_WORLD, &req[k++]);
				MPI_Isend(buf[1], count, MPI_DOUBLE, rank + 1, 1, MPI_COMM_WORLD, &req[k++]);
			}
			MPI_Waitall(k, req, MPI_STATUSES_IGNORE);
			if (rank > 0)
				copy(buf[2], lo - halo, 1);
			if (rank < ranks - 1)
				copy(buf[3], hi, 1);
			fresh = halo;
		}
		step_h(max(0, lo - fresh), min(nx - 1, hi + fresh - 1));
		step_e(max(1, lo - fresh + 1), min(nx - 1, hi + fresh - 1), step);
	}
	MPI_Barrier(MPI_COMM_WORLD);
	double took = MPI_Wtime() - began;

	/* The sum of each row, and of all these.  */
	size_t most = (size_t)(nx / ranks + 1) * 8;
	unsigned char *sums = calloc(most, 1), *all = calloc(most, ranks);
	for (int i = lo; i < hi; i++) {
		size_t r = (size_t)(i - from) * ny;
		uint64_t h = offset;
		h = fnv(h, ez + r, ny * sizeof *ez);
		h = fnv(h, hx + r, ny * sizeof *hx);
		h = fnv(h, hy + r, ny * sizeof *hy);
		for (int k = 0; k < 8; k++)
			sums[(i - lo) * 8 + k] = h >> (56 - 8 * k);
	}
	MPI_Gather(sums, most, MPI_BYTE, all, most, MPI_BYTE, 0, MPI_COMM_WORLD);
	if (rank == 0) {
		uint64_t h = offset;
		for (int r = 0; r < ranks; r++)
			h = fnv(h, all + r * most, ((long long)(r + 1) * nx / ranks - (long long)r * nx / ranks) * 8);
		printf("%d %llx %.0f\n", ranks, (unsigned long long)h, took * 1e9);
	}
	MPI_Finalize();
	return 0;
}
