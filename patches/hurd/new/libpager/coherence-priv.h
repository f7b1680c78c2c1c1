/* The inside of a coherent object, for it and what looks at it in tests.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#ifndef _COHERENCE_PRIV_H
#define _COHERENCE_PRIV_H

#include "coherence.h"
#include "containers.h"

/* A holder of a page is a client, by its slot, and how it holds it.  */
typedef uint16_t holder;
enum
{
  HOLDS_WRITE = 1,		/* for writing */
  HOLDS_MAYBE = 2,		/* more may be under way than it has asked for (G6) */
  SLOT_SHIFT = 2,
  MAX_CLIENTS = 1 << (16 - SLOT_SHIFT)
};
#define SLOT(h) ((int) ((h) >> SLOT_SHIFT))

/* Who has a page, sorted by slot.  Pages share holdings.  */
struct holding
{
  holder *v;
  size_t n;
  int64_t pages;		/* that are held so */
  uint32_t hash, next;		/* of the chain, or of the free ones */
};

#define CHUNK_PAGES 512
struct chunk
{
  int64_t n;
  int used;
  uint32_t words[CHUNK_PAGES];	/* which holding; 0 is nobody */
};

#define HOLDING_CHAINS 64
struct holdings
{
  struct map chunks;
  VEC (struct holding) kinds;
  uint32_t chains[HOLDING_CHAINS];
  uint32_t free;
  size_t live;
};

struct lock;
struct client
{
  coh_client id;
  int slot;
  int readonly;
  int64_t pages;		/* that it holds */
  int waiting;			/* entries of queues */
  VEC (struct lock *) locks;	/* that it has not answered, in the order they were sent */
  coh_tick since;		/* when the first of them became the first */
  int64_t expect;		/* the page after the last that was supplied at once */
  int64_t window;		/* pages that were supplied at once */
  VEC (struct page *) run;	/* neighbours, while locks are made */
};

enum want_kind { WANT_READ, WANT_WRITE, WANT_UNLOCK };

struct want
{
  struct client *c;
  enum want_kind kind;
  uint8_t doubt;		/* what it asks for may have come already (G6) */
  uint8_t reserved;
  uint8_t asked;		/* the store has been asked for it and what is around */
  uint64_t seq;
};

enum lock_kind
{
  LOCK_FLUSH,			/* return what was changed, and forget */
  LOCK_DISCARD,			/* forget */
  LOCK_READER			/* return what was changed, and only read */
};

struct lock
{
  uint64_t id;
  struct client *c;
  struct coh_range r;
  enum lock_kind kind;
  uint8_t fence;		/* until it is answered, requests are in doubt (G6) */
  uint8_t answered;		/* weak: but not all pages have come (W2) */
  int64_t missing;
};

struct op
{
  coh_token token;
  struct coh_range r;
  uint8_t write, closing, started, granted;
  uint64_t seq;
  int64_t left;			/* pages that are in the way */
  int err;
};

struct sync
{
  coh_token token;
  int64_t left;
  int err;
};

struct sync_wait
{
  struct sync *s;
  uint64_t lock;		/* to be answered first; 0 is none */
  uint64_t version;		/* then to be stored */
};

/* A page that is not at rest.  */
struct page
{
  int64_t n;
  uint8_t touched;
  VEC (struct want) queue;	/* in order of arrival (Q1) */
  VEC (struct want) parked;	/* weak: of those who have not returned it (W3) */
  VEC (struct lock *) locks;	/* that are not answered and are about it */
  VEC (struct client *) lost;	/* precious: who has parted with it during a recall */

  coh_data data;		/* the newest, if the store does not have it (D2) */
  uint64_t version;		/* of data */
  coh_data writing;		/* what the store has been asked to store */
  uint64_t wrote;		/* its version */
  int failed;			/* why data could not be stored (E4) */
  int bad;			/* why data is lost (E5) */

  uint8_t loading, stale, alone;	/* D4, E2 */
  uint8_t reserving, held;
  coh_data fresh;		/* what the store has, just loaded */
  VEC (struct client *) ahead;	/* P1 */
  VEC (struct op *) ops;
  VEC (struct sync_wait) syncs;
};

struct grant
{
  int64_t page;
  coh_tick until;
};

struct coh
{
  struct coh_config config;
  int64_t pages;
  coh_tick now;
  uint64_t seq;			/* of the last want or op */
  uint64_t lock_id;
  coh_client next;
  VEC (struct client *) clients;	/* by id */
  VEC (struct client *) slots;
  struct holdings holdings;
  struct map active;		/* page number -> struct page */
  VEC (struct page *) touched;
  VEC (struct op *) ops;	/* in order of arrival */
  uint8_t startable, closing;
  int syncs;
  int unstored;
  VEC (struct grant) recent;	/* whose minimum hold is not over, oldest first */
  VEC (struct coh_action) actions;
  VEC (coh_data) discards;
};

const struct holding *_holding_at (const struct holdings *t, int64_t page);
int _holding_of (const struct holding *h, int slot, holder *x);
int _holding_writer (const struct holding *h);
int _holdings_set (struct holdings *t, int64_t page, holder how);
int _holdings_remove (struct holdings *t, int64_t page, int slot);
int64_t _holdings_next (const struct holdings *t, int64_t from, int64_t end);
void _holdings_init (struct holdings *t);
void _holdings_free (struct holdings *t);

/* The numbers of the pages of a range that are not at rest, sorted; to be freed.  */
int64_t *_active_in (struct coh *o, struct coh_range r, size_t *n);

#endif
