/* Who may have the pages of a memory object that several kernels map.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later

   A state machine without input, output, clocks, threads or Mach: what happens
   is a call, and what is to be done about it is a list of actions.  The rules
   (G1, R3, ...) that the code quotes are those of hurdlab's docs/pager.md; the
   same rules in Go are hurdlab's package pager/coherence, and the two are
   tested against each other.

   Nothing here is safe for concurrent use: the caller has a lock for each
   object, takes the actions under that lock, and does them without it.  If
   memory cannot be had, the program is aborted.  */

#ifndef _COHERENCE_H
#define _COHERENCE_H

#include <stddef.h>
#include <stdint.h>

/* A kernel's use of an object, from memory_object_init to
   memory_object_terminate.  Numbers are not used again; 0 is no client.  */
typedef uint64_t coh_client;

/* What is in a page: a handle of the caller's.  The object has it from the call
   that gives it to the COH_DISCARD, or the COH_SUPPLY that is final, that gives
   it back.  NULL is no data.  */
typedef void *coh_data;

/* Times of the caller's, which do not go back, and numbers by which it knows
   an answer.  */
typedef int64_t coh_tick;
typedef uint64_t coh_token;

/* N pages from FIRST on.  */
struct coh_range
{
  int64_t first, n;
};

#define COH_EVERYTHING ((struct coh_range) { 0, INT64_MAX })

enum { COH_READ = 1, COH_WRITE = 2 };	/* an access; the bits are Mach's */
enum coh_order { COH_FIFO, COH_WEAK };	/* K9 */
enum coh_return { COH_RETURN_NONE, COH_RETURN_DIRTY, COH_RETURN_ALL };

/* Errors of an object.  Those of the store, which are positive, are passed on as
   they are.  */
enum
{
  COH_EBEYOND = -1,		/* there is no such page (E3) */
  COH_EREADONLY = -2,		/* the client may only read (S2) */
  COH_ELIMIT = -3,		/* too many pages or clients at a time (S4) */
  COH_ESILENT = -4,		/* the kernel does not answer (P4) */
  COH_EGONE = -5,		/* the client is gone */
  COH_ECLOSED = -6,		/* the object is closed */
  COH_EUNSTORED = -7		/* data is lost for want of a store (E5) */
};

struct coh_attributes
{
  int may_cache;
  int copy;			/* MEMORY_OBJECT_COPY_... */
};

/* 0 means the default in each but pages.  */
struct coh_config
{
  int64_t pages;		/* how many there are (E3) */
  struct coh_attributes attributes;
  enum coh_order order;
  int cluster;			/* P1; 1 */
  int readahead;		/* P1; cluster */
  coh_tick hold;		/* P2 */
  coh_tick answer;		/* P4; for ever */
  int reserve;			/* E6 */
  /* Kernels return clean pages, too, before they part with them: all pages
     are supplied as precious.  Only for clusters of one page.  */
  int precious;
  struct
  {
    int clients;		/* at a time; 1024 */
    int requests;		/* that a client waits for; 4096 */
    int range;			/* in a request or unlock; 256 */
    int lock;			/* in a COH_LOCK; 4096 */
    int unstored;		/* kept although they could not be stored; 1024 */
  } limits;
};

enum coh_what
{
  /* To a client, in order.  */
  COH_READY,			/* memory_object_ready: attributes */
  COH_CHANGE_ATTRIBUTES,	/* memory_object_change_attributes */
  COH_SUPPLY,			/* memory_object_data_supply: range, data, forbid_write,
				   precious; final: the data is the caller's now */
  COH_LOCK,			/* memory_object_lock_request: range, ret, flush,
				   forbid_write; reply: lock_completed is wanted */
  COH_FAIL,			/* memory_object_data_error: range, err */
  COH_TERMINATE,		/* memory_object_destroy: the client is gone */
  COH_CUT,			/* the same: it has not answered */
  /* To the store, in any order.  */
  COH_LOAD,			/* range; answer: coh_loaded, also in parts */
  COH_STORE,			/* range, data; answer: coh_stored, also in parts */
  COH_RESERVE,			/* range of one page; answer: coh_reserved */
  COH_DISCARD,			/* data[0] is given back */
  /* To the caller.  */
  COH_GRANTED,			/* answer to coh_take: token, err */
  COH_SYNCED,			/* answer to coh_sync */
  COH_CLOSED			/* answer to coh_close */
};

struct coh_action
{
  enum coh_what what;
  coh_client client;
  struct coh_range range;
  coh_data *data;		/* range.n of them, malloced; or null */
  size_t room;			/* of data */
  enum coh_return ret;
  uint8_t flush, forbid_write, reply, precious, final;
  int err;
  coh_token token;
  struct coh_attributes attributes;
};

struct coh;

struct coh *coh_new (const struct coh_config *config);

/* Forgets an object.  Data that it still has is given to DISCARD.  */
void coh_free (struct coh *o, void (*discard) (void *arg, coh_data d), void *arg);

/* Returns what is to be done, in *N actions that the caller frees with
   coh_free_actions, and forgets it.  Null if there is nothing.  */
struct coh_action *coh_actions (struct coh *o, size_t *n);
void coh_free_actions (struct coh_action *a, size_t n);

/* What kernels say.  */
int coh_attach (struct coh *o, int readonly, coh_client *c);
void coh_gone (struct coh *o, coh_client c);
void coh_terminated (struct coh *o, coh_client c);
void coh_request (struct coh *o, coh_client c, struct coh_range r, int access);
void coh_unlock (struct coh *o, coh_client c, struct coh_range r, int access);
void coh_returned (struct coh *o, coh_client c, int64_t first, const coh_data *data,
		   size_t n, int dirty, int kept);
void coh_lock_completed (struct coh *o, coh_client c, struct coh_range r);

/* What the store says.  Missing data is null.  */
void coh_loaded (struct coh *o, struct coh_range r, const coh_data *data, size_t n, int err);
void coh_stored (struct coh *o, struct coh_range r, int err);
void coh_reserved (struct coh *o, int64_t page, int err);

/* The clock.  coh_next returns whether, and in *AT when, coh_ticked is to be called
   at the latest.  */
void coh_ticked (struct coh *o, coh_tick now);
int coh_next (struct coh *o, coh_tick *at);

/* The caller's own accesses (T1 to T6).  */
void coh_sync (struct coh *o, coh_token t, struct coh_range r);
void coh_take (struct coh *o, coh_token t, struct coh_range r, int access);
void coh_release (struct coh *o, coh_token t);
void coh_resize (struct coh *o, int64_t pages);
void coh_set_attributes (struct coh *o, struct coh_attributes a);
void coh_close (struct coh *o, coh_token t);

/* Takes the pages of a range from everybody, discarding what is in them, as
   coh_resize does with those that it cuts off; but they still exist.  */
void coh_discard (struct coh *o, struct coh_range r);

/* Makes D what is in a page that nobody has and nothing is known of, and returns 1;
   otherwise D stays the caller's.  */
int coh_offer (struct coh *o, int64_t page, coh_data d);

/* Whether nobody has a page, and nothing is going on about it.  */
int coh_at_rest (struct coh *o, int64_t page);
int coh_clients (struct coh *o);
int coh_idle (struct coh *o);

#endif
