/* Who may have the pages of a memory object that several kernels map.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include "coherence-priv.h"

static int64_t
end_of (struct coh_range r)
{
  return r.first + r.n;
}

static int
has (struct coh_range r, int64_t n)
{
  return n >= r.first && n < end_of (r);
}

static int
overlap (struct coh_range a, struct coh_range b)
{
  return a.first < end_of (b) && b.first < end_of (a);
}

static struct coh_range
one (int64_t n)
{
  return (struct coh_range) { n, 1 };
}

static struct coh_range
clip (struct coh_range r)
{
  if (r.first < 0)
    r.first = 0;
  if (r.n > INT64_MAX - r.first)
    r.n = INT64_MAX - r.first;
  if (r.n < 0)
    r.n = 0;
  return r;
}

static int64_t
smaller (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

static int64_t
larger (int64_t a, int64_t b)
{
  return a > b ? a : b;
}

static int
first_error (int a, int b)
{
  return a ? a : b;
}

struct coh *
coh_new (const struct coh_config *config)
{
  struct coh *o = must (calloc (1, sizeof *o));
  struct coh_config *c = &o->config;
  *c = *config;
#define OR(field, value) if (c->field <= 0) c->field = larger (value, 1)
  OR (cluster, 1);
  OR (readahead, c->cluster);
  OR (limits.clients, 1024);
  OR (limits.requests, 4096);
  OR (limits.range, 256);
  OR (limits.lock, 4096);
  OR (limits.unstored, 1024);
#undef OR
  c->readahead = larger (c->readahead, c->cluster);
  c->limits.clients = smaller (c->limits.clients, MAX_CLIENTS);
  o->pages = c->pages;
  _holdings_init (&o->holdings);
  return o;
}

/* Actions.  */

static struct coh_action *
act (struct coh *o, enum coh_what what, struct client *c)
{
  struct coh_action *a = vec_add (&o->actions);
  memset (a, 0, sizeof *a);
  a->what = what;
  a->client = c ? c->id : 0;
  return a;
}

static void
answer (struct coh *o, enum coh_what what, coh_token token, int err)
{
  struct coh_action *a = act (o, what, 0);
  a->token = token;
  a->err = err;
}

static void
more_data (struct coh_action *a, coh_data d)
{
  a->data = vec_room (a->data, a->range.n + 1, &a->room, sizeof *a->data);
  a->data[a->range.n++] = d;
}

static void
discard (struct coh *o, coh_data d)
{
  if (d)
    vec_push (&o->discards, d);
}

struct coh_action *
coh_actions (struct coh *o, size_t *n)
{
  /* What is given back goes with the last supply that needs it, if that needs
     nothing else.  */
  static char alone, needed;
  struct map left = { 0 };
  for (size_t i = 0; i < o->discards.n; i++)
    _map_put (&left, (intptr_t) o->discards.v[i], &alone);
  for (size_t i = o->actions.n; left.n && i-- > 0;)
    {
      struct coh_action *a = &o->actions.v[i];
      if (a->what != COH_SUPPLY)
	continue;
      a->final = 1;
      for (int64_t j = 0; j < a->range.n; j++)
	if (_map_get (&left, (intptr_t) a->data[j]) != &alone)
	  a->final = 0;
      for (int64_t j = 0; j < a->range.n; j++)
	if (a->final)
	  _map_put (&left, (intptr_t) a->data[j], 0);
	else if (_map_get (&left, (intptr_t) a->data[j]))
	  _map_put (&left, (intptr_t) a->data[j], &needed);
    }
  for (size_t i = 0; i < o->discards.n; i++)
    if (_map_get (&left, (intptr_t) o->discards.v[i]))
      {
	struct coh_action *a = act (o, COH_DISCARD, 0);
	more_data (a, o->discards.v[i]);
      }
  _map_free (&left);
  vec_free (&o->discards);
  struct coh_action *list = o->actions.v;
  *n = o->actions.n;
  memset (&o->actions, 0, sizeof o->actions);
  return list;
}

void
coh_free_actions (struct coh_action *a, size_t n)
{
  for (size_t i = 0; i < n; i++)
    free (a[i].data);
  free (a);
}

/* Clients and pages.  */

static struct client *
client_of (struct coh *o, coh_client id)
{
  size_t a = 0, b = o->clients.n;
  while (a < b)
    {
      size_t m = (a + b) / 2;
      if (o->clients.v[m]->id < id)
	a = m + 1;
      else
	b = m;
    }
  return a < o->clients.n && o->clients.v[a]->id == id ? o->clients.v[a] : 0;
}

static int
held_by (struct coh *o, int64_t n, struct client *c, holder *h)
{
  return _holding_of (_holding_at (&o->holdings, n), c->slot, h);
}

static struct client *
writer (struct coh *o, int64_t n)
{
  int slot = _holding_writer (_holding_at (&o->holdings, n));
  return slot < 0 ? 0 : o->slots.v[slot];
}

static void
hold (struct coh *o, struct client *c, int64_t n, holder how)
{
  if (_holdings_set (&o->holdings, n, how))
    c->pages++;
}

static void
unhold (struct coh *o, struct client *c, int64_t n)
{
  if (_holdings_remove (&o->holdings, n, c->slot))
    c->pages--;
}

static struct page *
active (struct coh *o, int64_t n)
{
  return _map_get (&o->active, n);
}

static void
touch (struct coh *o, struct page *p)
{
  if (! p->touched)
    {
      p->touched = 1;
      vec_push (&o->touched, p);
    }
}

/* A page as one that is not at rest.  It is looked at before the call ends.  */
static struct page *
activate (struct coh *o, int64_t n)
{
  struct page *p = active (o, n);
  if (! p)
    {
      p = must (calloc (1, sizeof *p));
      p->n = n;
      _map_put (&o->active, n, p);
    }
  touch (o, p);
  return p;
}

static int
by_number (const void *a, const void *b)
{
  int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;
  return (x > y) - (x < y);
}

int64_t *
_active_in (struct coh *o, struct coh_range r, size_t *n)
{
  int64_t *list = must (malloc ((o->active.n + 1) * sizeof *list));
  *n = 0;
  if (r.n < (int64_t) o->active.n)
    {
      for (int64_t p = r.first; p < end_of (r); p++)
	if (active (o, p))
	  list[(*n)++] = p;
      return list;
    }
  for (size_t i = 0; i < o->active.room; i++)
    if (o->active.v[i].value && has (r, o->active.v[i].key))
      list[(*n)++] = o->active.v[i].key;
  qsort (list, *n, sizeof *list, by_number);
  return list;
}

#define EACH_ACTIVE(o, r, p)						\
  for (struct { size_t n, i; int64_t *v; } it_ = { 0, 0, _active_in (o, r, &it_.n) }; \
       it_.i < it_.n || (free (it_.v), 0); it_.i++)			\
    for (struct page *p = active (o, it_.v[it_.i]); p; p = 0)

#define EACH_HELD(o, r, n)						\
  for (int64_t n = _holdings_next (&(o)->holdings, (r).first, end_of (r)); \
       n >= 0; n = _holdings_next (&(o)->holdings, n + 1, end_of (r)))

static int
idle (const struct page *p)
{
  return (! p->queue.n && ! p->parked.n && ! p->locks.n && ! p->data && ! p->writing && ! p->bad
	  && ! p->loading && ! p->fresh && ! p->reserving && ! p->ops.n && ! p->syncs.n);
}

static void
free_page (struct page *p)
{
  vec_free (&p->queue);
  vec_free (&p->parked);
  vec_free (&p->locks);
  vec_free (&p->lost);
  vec_free (&p->ahead);
  vec_free (&p->ops);
  vec_free (&p->syncs);
  free (p);
}

static void advance (struct coh *o, struct page *p);
static void start (struct coh *o);

/* Looks at all pages that have been touched, and starts the ops that can be.  */
static void
run (struct coh *o)
{
  while (o->touched.n || o->startable)
    {
      for (size_t i = 0; i < o->touched.n; i++)
	{
	  struct page *p = o->touched.v[i];
	  p->touched = 0;
	  advance (o, p);
	  if (! p->touched && idle (p))
	    {
	      _map_put (&o->active, p->n, 0);
	      free_page (p);
	    }
	}
      o->touched.n = 0;
      if (o->startable)
	{
	  o->startable = 0;
	  start (o);
	}
    }
}

/* The lock that takes the page from a client, or the right to write.  */
static struct lock *
recalled (const struct page *p, const struct client *c)
{
  for (size_t i = 0; i < p->locks.n; i++)
    if (p->locks.v[i]->c == c)
      return p->locks.v[i];
  return 0;
}

static int
flushed (const struct page *p, const struct client *c)
{
  for (size_t i = 0; i < p->locks.n; i++)
    if (p->locks.v[i]->c == c && p->locks.v[i]->kind != LOCK_READER)
      return 1;
  return 0;
}

static int
fenced (const struct page *p, const struct client *c)
{
  for (size_t i = 0; i < p->locks.n; i++)
    if (p->locks.v[i]->c == c && p->locks.v[i]->fence)
      return 1;
  return 0;
}

static int
waits (const struct page *p, const struct client *c)
{
  for (size_t i = 0; i < p->queue.n; i++)
    if (p->queue.v[i].c == c)
      return 1;
  return 0;
}

static ssize_t
index_of (const struct page *p, const struct lock *l)
{
  for (size_t i = 0; i < p->locks.n; i++)
    if (p->locks.v[i] == l)
      return i;
  return -1;
}

static struct lock *
lock_by_id (const struct page *p, uint64_t id)
{
  for (size_t i = 0; id && i < p->locks.n; i++)
    if (p->locks.v[i]->id == id)
      return p->locks.v[i];
  return 0;
}

/* Takes a lock from a page.  */
static void
take_lock (struct coh *o, struct page *p, struct lock *l)
{
  ssize_t i = index_of (p, l);
  if (i >= 0)
    vec_remove (&p->locks, i);
  touch (o, p);
}

/* Forgets a lock.  */
static void
lock_answered (struct coh *o, struct lock *l)
{
  struct client *c = l->c;
  for (size_t i = 0; i < c->locks.n; i++)
    if (c->locks.v[i] == l)
      {
	vec_remove (&c->locks, i);
	break;
      }
  free (l);
  c->since = o->now;
}

/* The kind of a recall (R1, W2).  */
static enum lock_kind
recall_kind (struct coh *o, int all)
{
  return all || o->config.order == COH_WEAK ? LOCK_FLUSH : LOCK_READER;
}

/* Sends locks for neighbouring pages to a client.  */
static void
lock (struct coh *o, enum lock_kind kind, struct client *c, struct page **pages, size_t n)
{
  while (n > 0)
    {
      size_t k = smaller (n, o->config.limits.lock);
      struct lock *l = must (calloc (1, sizeof *l));
      l->id = ++o->lock_id;
      l->c = c;
      l->r = (struct coh_range) { pages[0]->n, k };
      l->kind = kind;
      if (! c->locks.n)
	c->since = o->now;
      vec_push (&c->locks, l);
      for (size_t i = 0; i < k; i++)
	vec_push (&pages[i]->locks, l);
      struct coh_action *a = act (o, COH_LOCK, c);
      a->range = l->r;
      a->reply = 1;
      a->flush = kind != LOCK_READER;
      a->forbid_write = kind == LOCK_READER;
      a->ret = kind == LOCK_DISCARD ? COH_RETURN_NONE : COH_RETURN_DIRTY;
      if (o->config.order == COH_WEAK	/* W2 */
	  || (o->config.precious && a->flush))
	a->ret = COH_RETURN_ALL;
      pages += k;
      n -= k;
    }
}

/* Tells a client that it may write to a page it has.  */
static void
allow (struct coh *o, struct client *c, int64_t n)
{
  act (o, COH_LOCK, c)->range = one (n);
}

/* Calls a page back from a client, unless that has been done.  */
static void
take (struct coh *o, struct page *p, struct client *c, int all)
{
  if (all ? ! flushed (p, c) : ! recalled (p, c))
    lock (o, recall_kind (o, all), c, &p, 1);
}

/* Answers an unlock with no: without the page, the kernel asks for it, and can be
   told.  */
static void
refuse (struct coh *o, struct page *p, struct client *c)
{
  take (o, p, c, 1);
}

static void
fail (struct coh *o, struct client *c, int64_t n, int err)
{
  if (o->actions.n)
    {
      struct coh_action *a = &o->actions.v[o->actions.n - 1];
      if (a->what == COH_FAIL && a->client == c->id && end_of (a->range) == n && a->err == err)
	{
	  a->range.n++;
	  return;
	}
    }
  struct coh_action *a = act (o, COH_FAIL, c);
  a->range = one (n);
  a->err = err;
}

/* Tells one who waits that it cannot have the page.  If the page has come already,
   the error may meet what the kernel asks for later: what it asks for until a
   flush has been completed is in doubt as well (G6).  */
static void
fail_want (struct coh *o, struct page *p, struct want w, int err)
{
  fail (o, w.c, p->n, err);
  if (w.doubt)
    {
      lock (o, LOCK_FLUSH, w.c, &p, 1);
      p->locks.v[p->locks.n - 1]->fence = 1;
    }
}

/* Data.  */

static void
forget_data (struct coh *o, struct page *p)
{
  if (p->data && p->data != p->writing)
    discard (o, p->data);
  if (p->failed)
    {
      p->failed = 0;
      o->unstored--;
    }
  p->data = 0;
  p->version++;
}

/* Forgets what the store has said is in a page (D4).  */
static void
changed (struct coh *o, struct page *p)
{
  discard (o, p->fresh);
  p->fresh = 0;
  p->ahead.n = 0;
  p->stale = p->loading;
}

static void
store (struct coh *o, struct page *p)
{
  if (p->failed)
    {
      p->failed = 0;
      o->unstored--;
    }
  p->writing = p->data;
  p->wrote = p->version;
  for (size_t i = o->actions.n, k = 0; i-- > 0 && k < 4; k++)
    {
      struct coh_action *a = &o->actions.v[i];
      if (a->what == COH_STORE && end_of (a->range) == p->n)
	{
	  more_data (a, p->data);
	  return;
	}
    }
  struct coh_action *a = act (o, COH_STORE, 0);
  a->range.first = p->n;
  more_data (a, p->data);
}

/* Makes data what is in a page.  */
static void
deposit (struct coh *o, struct page *p, coh_data d)
{
  forget_data (o, p);
  p->bad = 0;
  p->data = d;
  changed (o, p);
  if (! p->writing)
    store (o, p);
}

/* Gives a page to a client.  With doubt, it may have come already.  */
static void
supply (struct coh *o, struct client *c, int64_t n, coh_data d, int forbid, int doubt)
{
  holder how = c->slot << SLOT_SHIFT;
  if (! forbid)
    how |= HOLDS_WRITE;
  else if (o->config.order == COH_FIFO && held_by (o, n, c, 0))
    doubt = 1;
  if (doubt)
    how |= HOLDS_MAYBE;
  hold (o, c, n, how);
  /* As one with what goes to the client already, if nothing else does after it.  */
  for (size_t i = o->actions.n, k = 0; i-- > 0 && k < 32; k++)
    {
      struct coh_action *a = &o->actions.v[i];
      if (a->what == COH_LOAD || a->what == COH_STORE || a->what == COH_RESERVE)
	continue;
      if (a->what != COH_SUPPLY)
	break;
      if (a->client != c->id)
	continue;
      if (end_of (a->range) != n || a->forbid_write != forbid)
	break;
      more_data (a, d);
      return;
    }
  struct coh_action *a = act (o, COH_SUPPLY, c);
  a->range.first = n;
  a->forbid_write = forbid;
  a->precious = o->config.order == COH_WEAK || o->config.precious;	/* W1 */
  more_data (a, d);
}

/* The end of things.  */

static void
synced (struct coh *o, struct sync *s, int err)
{
  s->err = first_error (s->err, err);
  if (--s->left == 0)
    {
      o->syncs--;
      answer (o, COH_SYNCED, s->token, s->err);
      free (s);
    }
}

#define REMOVE_IF(a, x, condition)					\
  do									\
    {									\
      size_t k_ = 0;							\
      for (size_t i_ = 0; i_ < (a)->n; i_++)				\
	{								\
	  __typeof__ (*(a)->v) x = (a)->v[i_];				\
	  if (! (condition))						\
	    (a)->v[k_++] = x;						\
	}								\
      (a)->n = k_;							\
    }									\
  while (0)

/* Ends all that a client has to do with the object.  What it has changed may be
   lost.  */
static void
forget (struct coh *o, struct client *c, int lost)
{
  REMOVE_IF (&o->clients, x, x == c);
  EACH_ACTIVE (o, COH_EVERYTHING, p)
    {
      holder h;
      REMOVE_IF (&p->queue, w, w.c == c);
      REMOVE_IF (&p->parked, w, w.c == c);
      REMOVE_IF (&p->ahead, x, x == c);
      REMOVE_IF (&p->lost, x, x == c);
      if (lost && held_by (o, p->n, c, &h) && (h & HOLDS_WRITE))
	for (size_t i = 0; i < p->syncs.n; i++)
	  {
	    struct lock *l = lock_by_id (p, p->syncs.v[i].lock);
	    if (l && l->c == c)
	      p->syncs.v[i].s->err = first_error (p->syncs.v[i].s->err, COH_EGONE);
	  }
      REMOVE_IF (&p->locks, l, l->c == c);
      touch (o, p);
    }
  if (c->pages > 0)
    EACH_HELD (o, COH_EVERYTHING, n)
      unhold (o, c, n);
  for (size_t i = 0; i < c->locks.n; i++)
    free (c->locks.v[i]);
  vec_free (&c->locks);
  vec_free (&c->run);
  o->slots.v[c->slot] = 0;
  free (c);
}

static void
release (struct coh *o, struct op *x)
{
  REMOVE_IF (&o->ops, y, y == x);
  EACH_ACTIVE (o, x->r, p)
    {
      REMOVE_IF (&p->ops, y, y == x);
      touch (o, p);
    }
  free (x);
  o->startable = o->ops.n > 0;
}

/* Closes the object: nobody has anything any more.  */
static void
finish (struct coh *o, struct op *x)
{
  while (o->clients.n)
    {
      act (o, COH_TERMINATE, o->clients.v[0]);
      forget (o, o->clients.v[0], 0);
    }
  int err = x->err;
  coh_token token = x->token;
  EACH_ACTIVE (o, COH_EVERYTHING, p)
    if (p->bad)
      {
	err = first_error (err, p->bad);
	p->bad = 0;
	touch (o, p);
      }
  release (o, x);
  answer (o, COH_CLOSED, token, err);
}

/* Says that one page less is in the way of an op, which may be gone then.  */
static void
way (struct coh *o, struct op *x)
{
  if (--x->left > 0)
    return;
  if (x->closing)
    {
      finish (o, x);
      return;
    }
  answer (o, COH_GRANTED, x->token, x->err);
  x->granted = 1;
  if (x->err)
    release (o, x);
}

/* The queue of a page.  */

static struct want *
head (struct page *p)
{
  return p->queue.n ? &p->queue.v[0] : 0;
}

static void
pop (struct coh *o, struct page *p)
{
  p->queue.v[0].c->waiting--;
  vec_remove (&p->queue, 0);
  touch (o, p);
}

static void
enqueue (struct coh *o, struct page *p, struct want w)
{
  w.seq = ++o->seq;
  w.c->waiting++;
  vec_push (&p->queue, w);
  touch (o, p);
}

/* Has a want take the place of an older one of the same client (Q2).  */
static int
supersede (struct coh *o, struct page *p, struct want w)
{
  for (size_t i = 0; i < p->queue.n; i++)
    {
      struct want *x = &p->queue.v[i];
      if (x->c != w.c)
	continue;
      if (o->config.order == COH_FIFO)
	{
	  x->reserved = x->reserved && w.kind != WANT_READ;
	  x->kind = w.kind;
	  x->doubt = w.doubt;
	  return 1;
	}
      if ((x->kind == WANT_UNLOCK) == (w.kind == WANT_UNLOCK))
	{
	  if (w.kind > x->kind)
	    x->kind = w.kind;
	  return 1;
	}
    }
  return 0;
}

/* Keeps a request of a client that has not returned the page yet (W3).  */
static void
park (struct coh *o, struct page *p, struct want w)
{
  for (size_t i = 0; i < p->parked.n; i++)
    if (p->parked.v[i].c == w.c)
      {
	if (w.kind > p->parked.v[i].kind)
	  p->parked.v[i].kind = w.kind;
	return;
      }
  if (w.c->waiting >= o->config.limits.requests)	/* S4 */
    {
      fail (o, w.c, p->n, COH_ELIMIT);
      return;
    }
  w.c->waiting++;
  vec_push (&p->parked, w);
}

static void
unpark (struct coh *o, struct page *p, struct client *c)
{
  for (size_t i = 0; i < p->parked.n; i++)
    if (p->parked.v[i].c == c)
      {
	struct want w = p->parked.v[i];
	vec_remove (&p->parked, i);
	c->waiting--;
	if (! supersede (o, p, w))
	  enqueue (o, p, w);
	return;
      }
}

/* Whether an op is in the way of a want, or of one that would come now (T2).  */
static int
blocked (struct coh *o, int64_t n, int write, uint64_t seq)
{
  for (size_t i = 0; i < o->ops.n; i++)
    {
      struct op *x = o->ops.v[i];
      if (x->seq < seq && has (x->r, n) && (x->write || write))
	return 1;
    }
  return 0;
}

/* Loading.  */

/* Whether nobody is disturbed if a client gets a page to read that it has not
   asked for (P1).  */
static int
undisturbed (struct coh *o, int64_t n, struct client *c)
{
  const struct holding *h = _holding_at (&o->holdings, n);
  return (! _holding_of (h, c->slot, 0) && _holding_writer (h) < 0 && ! o->closing
	  && ! blocked (o, n, 0, o->seq + 1));
}

static int
free_ahead (struct coh *o, int64_t n, struct client *c)
{
  if (n < 0 || n >= o->pages || ! undisturbed (o, n, c))
    return 0;
  struct page *q = active (o, n);
  return ! q || (! q->queue.n && ! q->parked.n && ! q->locks.n && ! q->data && ! q->writing
		 && ! q->bad && ! q->stale);
}

/* The pages to supply with one that a client wants to read (P1).  */
static struct coh_range
around (struct coh *o, struct client *c, int64_t n)
{
  int64_t cluster = o->config.cluster, first = n, end;
  if (n == c->expect)
    {
      c->window = smaller (larger (c->window, 1) * 2, o->config.readahead);
      end = n + larger (c->window, cluster);
    }
  else
    {
      first = n - n % cluster;
      end = first + cluster;
      c->window = cluster;
    }
  struct coh_range r = one (n);
  while (r.first > first && free_ahead (o, r.first - 1, c))
    {
      r.first--;
      r.n++;
    }
  while (end_of (r) < end && free_ahead (o, end_of (r), c))
    r.n++;
  c->expect = end_of (r);
  return r;
}

/* Asks the store for the pages of a range that are not being loaded; those but one are
   supplied to the client without having been asked for.  */
static void
load_for (struct coh *o, struct client *c, int64_t asked, struct coh_range r)
{
  size_t begin = o->actions.n;
  for (int64_t n = r.first; n < end_of (r); n++)
    {
      struct page *q = active (o, n);
      if (! q)
	q = activate (o, n);
      if (n != asked)
	{
	  size_t i = 0;
	  while (i < q->ahead.n && q->ahead.v[i] != c)
	    i++;
	  if (i == q->ahead.n)
	    vec_push (&q->ahead, c);
	}
      if (q->loading || q->fresh)
	continue;
      q->loading = 1;
      if (o->actions.n > begin)
	{
	  struct coh_action *a = &o->actions.v[o->actions.n - 1];
	  if (a->what == COH_LOAD && end_of (a->range) == n)
	    {
	      a->range.n++;
	      continue;
	    }
	}
      act (o, COH_LOAD, 0)->range = one (n);
    }
}

static void
load (struct coh *o, struct page *p, struct want *w)
{
  if (p->data || p->fresh || p->writing || p->stale || (w->asked && p->loading))
    return;
  struct coh_range r = one (p->n);
  if (w->kind == WANT_READ && ! p->alone)
    r = around (o, w->c, p->n);
  w->asked = 1;
  p->alone = 0;
  load_for (o, w->c, p->n, r);
}

/* Serving.  */

static coh_tick
held_until (struct coh *o, int64_t n)
{
  for (size_t i = o->recent.n; i-- > 0;)
    if (o->recent.v[i].page == n)
      return o->recent.v[i].until;
  return 0;
}

/* Begins the minimum hold of a page that somebody has asked for and got (P2).  */
static void
stamp (struct coh *o, struct page *p)
{
  if (o->config.hold > 0)
    vec_push (&o->recent, ((struct grant) { p->n, o->now + o->config.hold }));
}

/* Whether a holder is in the way of a want (G2, G6).  */
static int
in_the_way (const struct want *w, holder x)
{
  if (SLOT (x) != w->c->slot)
    return w->kind != WANT_READ || (x & HOLDS_WRITE);
  if (w->kind == WANT_READ)
    return x & HOLDS_WRITE;
  return w->kind == WANT_WRITE || (x & HOLDS_MAYBE);
}

/* Calls the page back from those who are in the way of a want, and returns whether
   there are any.  */
static int
recall (struct coh *o, struct page *p, struct want *w)
{
  const struct holding *h = _holding_at (&o->holdings, p->n);
  int some = 0, others = 0;
  for (size_t i = 0; i < h->n; i++)
    if (in_the_way (w, h->v[i]))
      {
	some = 1;
	others |= SLOT (h->v[i]) != w->c->slot;
      }
  if (! some)
    return 0;
  if (others && held_until (o, p->n) > o->now)	/* P2 */
    {
      p->held = 1;
      return 1;
    }
  for (size_t i = 0; i < h->n; i++)
    if (in_the_way (w, h->v[i]))
      take (o, p, o->slots.v[SLOT (h->v[i])],
	    w->kind != WANT_READ || SLOT (h->v[i]) == w->c->slot);
  return 1;
}

/* Serves the head of the queue, if it can be.  Returns whether there is a new one.  */
static int
serve (struct coh *o, struct page *p)
{
  struct want *w = head (p);
  if (! w || blocked (o, p->n, w->kind != WANT_READ, w->seq))	/* T2 */
    return 0;
  struct client *c = w->c;
  if (w->doubt && p->locks.n)	/* no error before the one before is known to have arrived */
    return 0;
  holder how;
  int holds = held_by (o, p->n, c, &how);
  if (w->kind == WANT_UNLOCK && ! holds)	/* R4: it has been taken meanwhile */
    {
      pop (o, p);
      return 1;
    }
  int err = p->bad;		/* E5 */
  if (p->n >= o->pages)		/* E3 */
    err = COH_EBEYOND;
  else if (c->readonly && w->kind == WANT_WRITE)	/* S2 */
    err = COH_EREADONLY;
  if (err)
    {
      if (w->kind == WANT_UNLOCK)
	refuse (o, p, c);
      else
	fail_want (o, p, *w, err);
      pop (o, p);
      return 1;
    }
  if (o->config.reserve && w->kind != WANT_READ && ! w->reserved)	/* E6 */
    {
      if (! p->reserving)
	{
	  p->reserving = 1;
	  act (o, COH_RESERVE, 0)->range = one (p->n);
	}
      return 0;
    }
  if (recall (o, p, w) || p->locks.n)	/* G2 */
    {
      if (w->kind != WANT_UNLOCK && ! writer (o, p->n))
	load (o, p, w);		/* meanwhile */
      return 0;
    }
  if (w->kind == WANT_UNLOCK)
    {
      if (! (how & HOLDS_WRITE))
	{
	  hold (o, c, p->n, how | HOLDS_WRITE);
	  changed (o, p);
	}
      allow (o, c, p->n);	/* G4 */
      stamp (o, p);
      pop (o, p);
      return 1;
    }
  coh_data d = p->data ? p->data : p->fresh;	/* D2 */
  if (! d)
    {
      load (o, p, w);
      return 0;
    }
  if (w->kind == WANT_WRITE)
    {
      supply (o, c, p->n, d, 0, w->doubt);	/* G3 */
      changed (o, p);
    }
  else
    {
      supply (o, c, p->n, d, 1, w->doubt);
      if (! p->data && ! w->asked)	/* somebody else's load: what is around it is for
					   this one as well */
	load_for (o, c, p->n, around (o, c, p->n));
    }
  stamp (o, p);
  pop (o, p);
  return 1;
}

/* Looks whether the page is still in the way of ops.  */
static void
advance_ops (struct coh *o, struct page *p)
{
  size_t n = p->ops.n;
  struct op *few[8], **ops = n <= 8 ? few : must (malloc (n * sizeof *ops));
  if (n)
    memcpy (ops, p->ops.v, n * sizeof *ops);
  for (size_t i = 0; i < n; i++)
    {
      struct op *x = ops[i];
      struct want *w = head (p);
      if (w && w->seq < x->seq)	/* T2 */
	break;
      int wait = p->locks.n > 0;
      const struct holding *h = _holding_at (&o->holdings, p->n);
      for (size_t j = 0; j < h->n; j++)
	if (x->write || (h->v[j] & HOLDS_WRITE))
	  {
	    wait = 1;
	    take (o, p, o->slots.v[SLOT (h->v[j])], x->write);
	  }
      if (wait || p->writing)
	continue;
      if (p->data)		/* E4 */
	{
	  x->err = first_error (x->err, p->failed);
	  if (x->closing)
	    forget_data (o, p);
	}
      if (x->write)
	{
	  if (x->closing)
	    x->err = first_error (x->err, p->bad);
	  p->bad = 0;
	  changed (o, p);
	}
      REMOVE_IF (&p->ops, y, y == x);
      way (o, x);
    }
  if (ops != few)
    free (ops);
}

/* Looks whether the page is still in the way of syncs.  */
static void
advance_syncs (struct coh *o, struct page *p)
{
  size_t k = 0;
  for (size_t i = 0; i < p->syncs.n; i++)
    {
      struct sync_wait y = p->syncs.v[i];
      if (y.lock && ! lock_by_id (p, y.lock))
	{
	  y.lock = 0;
	  y.version = p->version;
	  if (p->failed && ! p->writing)
	    store (o, p);	/* E4 */
	}
      if (y.lock || p->data || p->writing)
	p->syncs.v[k++] = y;
      else
	synced (o, y.s, 0);
    }
  p->syncs.n = k;
}

/* Does what there is to do for a page.  */
static void
advance (struct coh *o, struct page *p)
{
  while (serve (o, p))
    ;
  advance_ops (o, p);
  advance_syncs (o, p);
  if (p->fresh && ! p->queue.n)
    {
      for (size_t i = 0; i < p->ahead.n; i++)
	if (undisturbed (o, p->n, p->ahead.v[i]) && ! p->locks.n && ! p->data)
	  supply (o, p->ahead.v[i], p->n, p->fresh, 1, 0);
      p->ahead.n = 0;
      discard (o, p->fresh);
      p->fresh = 0;
    }
}

/* What kernels say.  */

int
coh_attach (struct coh *o, int readonly, coh_client *id)
{
  if (o->closing)
    return COH_ECLOSED;
  if (o->clients.n >= (size_t) o->config.limits.clients)
    return COH_ELIMIT;
  struct client *c = must (calloc (1, sizeof *c));
  *id = c->id = ++o->next;
  c->readonly = readonly;
  c->expect = -1;
  while ((size_t) c->slot < o->slots.n && o->slots.v[c->slot])
    c->slot++;
  if ((size_t) c->slot == o->slots.n)
    vec_add (&o->slots);
  o->slots.v[c->slot] = c;
  vec_push (&o->clients, c);
  act (o, COH_READY, c)->attributes = o->config.attributes;
  return 0;
}

void
coh_gone (struct coh *o, coh_client id)
{
  struct client *c = client_of (o, id);
  if (c)
    {
      forget (o, c, 1);
      run (o);
    }
}

void
coh_terminated (struct coh *o, coh_client id)
{
  struct client *c = client_of (o, id);
  if (c)
    {
      forget (o, c, 0);
      run (o);
    }
}

static int
sound (struct coh_range r)
{
  return r.first >= 0 && r.n >= 0 && r.first <= INT64_MAX - r.n;
}

static void
request (struct coh *o, struct client *c, int64_t n, enum want_kind kind)
{
  holder h;
  int holds = held_by (o, n, c, &h);
  struct page *p = active (o, n);
  struct want w = { .c = c, .kind = kind };
  if (o->closing)
    {
      fail (o, c, n, COH_ECLOSED);
      return;
    }
  if (kind == WANT_WRITE && c->readonly && (! p || ! waits (p, c)))	/* S2 */
    {
      fail (o, c, n, COH_EREADONLY);
      return;
    }
  if (n >= o->pages && ! holds && (! p || (! waits (p, c) && ! fenced (p, c))))	/* E3 */
    {
      fail (o, c, n, COH_EBEYOND);
      return;
    }
  if (o->config.order == COH_WEAK && holds)
    {
      park (o, activate (o, n), w);	/* W3 */
      return;
    }
  if (holds && (h & (HOLDS_WRITE | HOLDS_MAYBE)) == HOLDS_WRITE)
    {
      if (! p || ! recalled (p, c))	/* G6: it has lost it, and had not changed it */
	unhold (o, c, n);
    }
  else
    w.doubt = holds || (p && fenced (p, c));
  if (! p || ! supersede (o, p, w))
    {
      if (c->waiting >= o->config.limits.requests && (! p || ! fenced (p, c)))	/* S4 */
	{
	  fail_want (o, activate (o, n), w, COH_ELIMIT);
	  return;
	}
      p = activate (o, n);
      enqueue (o, p, w);
    }
  touch (o, p);
}

void
coh_request (struct coh *o, coh_client id, struct coh_range r, int access)
{
  struct client *c = client_of (o, id);
  if (! c)
    return;
  if (sound (r))
    {
      if (r.n > o->config.limits.range)
	{
	  struct coh_action *a = act (o, COH_FAIL, c);
	  a->range = r;
	  a->err = COH_ELIMIT;
	}
      else
	for (int64_t n = r.first; n < end_of (r); n++)
	  request (o, c, n, access & COH_WRITE ? WANT_WRITE : WANT_READ);
    }
  run (o);
}

static void
unlock (struct coh *o, struct client *c, int64_t n)
{
  holder h;
  if (! held_by (o, n, c, &h))
    return;			/* G4 */
  struct page *p = activate (o, n);
  struct want w = { .c = c, .kind = WANT_UNLOCK };
  if (flushed (p, c))		/* R4 */
    return;
  if ((h & HOLDS_WRITE) && ! recalled (p, c))
    allow (o, c, n);		/* G5 */
  else if (c->readonly || n >= o->pages || o->closing || p->bad)	/* S2, E1 */
    refuse (o, p, c);
  else if (! supersede (o, p, w))
    {
      if (c->waiting >= o->config.limits.requests)	/* S4 */
	refuse (o, p, c);
      else
	enqueue (o, p, w);
    }
}

void
coh_unlock (struct coh *o, coh_client id, struct coh_range r, int access)
{
  struct client *c = client_of (o, id);
  if (! c || ! (access & COH_WRITE) || r.n > o->config.limits.range)
    return;
  if (sound (r))
    for (int64_t n = r.first; n < end_of (r); n++)
      unlock (o, c, n);
  run (o);
}

void
coh_returned (struct coh *o, coh_client id, int64_t first, const coh_data *data, size_t count,
	      int dirty, int kept)
{
  struct client *c = client_of (o, id);
  for (size_t i = 0; i < count; i++)
    {
      int64_t n = first + i;
      holder h;
      if (! c || n < 0 || ! held_by (o, n, c, &h))	/* D1 */
	{
	  discard (o, data[i]);
	  continue;
	}
      struct page *p = activate (o, n);
      int use = (h & HOLDS_WRITE) && dirty && n < o->pages;	/* D1 */
      for (size_t j = 0; j < p->locks.n; j++)
	if (p->locks.v[j]->c == c && p->locks.v[j]->kind == LOCK_DISCARD)	/* T4 */
	  use = 0;
      if (use)
	deposit (o, p, data[i]);
      else
	discard (o, data[i]);
      int exact = o->config.order == COH_WEAK || o->config.precious;
      if (kept || (! exact && ! (h & HOLDS_WRITE)))	/* D6 */
	continue;
      if (o->config.precious && o->config.order == COH_FIFO && ! dirty && recalled (p, c))
	{
	  /* The recall may have found it changed before, and not sent that yet: it is
	     lost when the recall has ended.  */
	  vec_push (&p->lost, c);
	  continue;
	}
      unhold (o, c, n);
      if (o->config.order != COH_WEAK)
	continue;
      unpark (o, p, c);
      for (size_t j = 0; j < p->locks.n;)	/* W2 */
	{
	  struct lock *l = p->locks.v[j];
	  if (l->c != c || ! l->answered)
	    {
	      j++;
	      continue;
	    }
	  take_lock (o, p, l);
	  if (--l->missing == 0)
	    lock_answered (o, l);
	}
    }
  run (o);
}

void
coh_lock_completed (struct coh *o, coh_client id, struct coh_range r)
{
  struct client *c = client_of (o, id);
  struct lock *l = 0;
  for (size_t i = 0; c && i < c->locks.n && ! l; i++)
    {
      struct lock *x = c->locks.v[i];
      if (x->r.first == r.first && x->r.n == r.n && ! x->answered)
	l = x;
    }
  if (! l)
    return;			/* R3 */
  for (int64_t n = r.first; n < end_of (r); n++)
    {
      struct page *p = active (o, n);
      if (! p || index_of (p, l) < 0)
	continue;
      holder h;
      if (held_by (o, n, c, &h))
	{
	  if (o->config.order == COH_WEAK)	/* W2 */
	    {
	      l->missing++;
	      continue;
	    }
	  size_t lost = p->lost.n;
	  REMOVE_IF (&p->lost, x, x == c);
	  if (l->kind == LOCK_READER && lost == p->lost.n)
	    hold (o, c, n, h & ~HOLDS_WRITE);
	  else
	    unhold (o, c, n);
	}
      take_lock (o, p, l);
    }
  l->answered = 1;
  if (l->missing == 0)
    lock_answered (o, l);
  run (o);
}

/* What the store says.  */

void
coh_loaded (struct coh *o, struct coh_range r, const coh_data *data, size_t count, int err)
{
  for (int64_t i = 0; i < r.n; i++)
    {
      coh_data d = i < (int64_t) count ? data[i] : 0;
      struct page *p = active (o, r.first + i);
      if (! p || ! p->loading)
	{
	  discard (o, d);
	  continue;
	}
      p->loading = 0;
      touch (o, p);
      if (p->stale)		/* D4 */
	{
	  p->stale = 0;
	  p->ahead.n = 0;
	  discard (o, d);
	}
      else if (err || ! d)
	{
	  discard (o, d);
	  p->ahead.n = 0;
	  struct want *w = head (p);
	  if (w && w->kind != WANT_UNLOCK)
	    {
	      if (r.n > 1)	/* E2 */
		p->alone = 1;
	      else
		{
		  fail_want (o, p, *w, first_error (err, COH_EUNSTORED));
		  pop (o, p);
		}
	    }
	}
      else
	p->fresh = d;
    }
  run (o);
}

void
coh_stored (struct coh *o, struct coh_range r, int err)
{
  for (int64_t n = r.first; n < end_of (r); n++)
    {
      struct page *p = active (o, n);
      if (! p || ! p->writing)
	continue;
      touch (o, p);
      coh_data d = p->writing;
      uint64_t wrote = p->wrote;
      p->writing = 0;
      if (p->data != d)		/* D3: there is newer data, or it is not wanted any more */
	{
	  discard (o, d);
	  if (p->data)
	    store (o, p);
	  if (err)
	    continue;
	}
      else if (! err)
	{
	  p->data = 0;
	  discard (o, d);
	}
      else			/* E4 */
	{
	  p->failed = err;
	  if (++o->unstored > o->config.limits.unstored)	/* E5 */
	    {
	      p->bad = err;
	      forget_data (o, p);
	    }
	  for (size_t i = 0; i < p->ops.n; i++)
	    p->ops.v[i]->err = first_error (p->ops.v[i]->err, err);
	}
      size_t k = 0;
      for (size_t i = 0; i < p->syncs.n; i++)
	{
	  struct sync_wait y = p->syncs.v[i];
	  if (y.lock || y.version > wrote)
	    p->syncs.v[k++] = y;
	  else
	    synced (o, y.s, err);
	}
      p->syncs.n = k;
    }
  run (o);
}

void
coh_reserved (struct coh *o, int64_t n, int err)
{
  struct page *p = active (o, n);
  if (! p || ! p->reserving)
    return;
  p->reserving = 0;
  touch (o, p);
  struct want *w = head (p);
  if (w && w->kind != WANT_READ)
    {
      if (! err)
	w->reserved = 1;
      else
	{
	  if (w->kind == WANT_UNLOCK)
	    refuse (o, p, w->c);
	  else
	    fail_want (o, p, *w, err);
	  pop (o, p);
	}
    }
  run (o);
}

/* The clock.  */

void
coh_ticked (struct coh *o, coh_tick now)
{
  o->now = larger (o->now, now);
  size_t i = 0;
  for (; i < o->recent.n && o->recent.v[i].until <= o->now; i++)
    {
      struct page *p = active (o, o->recent.v[i].page);
      if (p && p->held)
	{
	  p->held = 0;
	  touch (o, p);
	}
    }
  if (i == o->recent.n)
    vec_free (&o->recent);
  else if (i)
    {
      o->recent.n -= i;
      memmove (o->recent.v, o->recent.v + i, o->recent.n * sizeof *o->recent.v);
    }
  if (o->config.answer > 0)
    for (size_t s = 0; s < o->slots.n; s++)
      {
	struct client *c = o->slots.v[s];
	if (c && c->locks.n && c->since + o->config.answer <= o->now)	/* P4 */
	  {
	    act (o, COH_CUT, c)->err = COH_ESILENT;
	    forget (o, c, 1);
	  }
      }
  run (o);
}

int
coh_next (struct coh *o, coh_tick *at)
{
  *at = INT64_MAX;
  if (o->recent.n && o->active.n)
    *at = o->recent.v[0].until;
  if (o->config.answer > 0)
    for (size_t i = 0; i < o->clients.n; i++)
      if (o->clients.v[i]->locks.n)
	*at = smaller (*at, o->clients.v[i]->since + o->config.answer);
  return *at < INT64_MAX;
}

/* The caller's own accesses.  */

static void
sync_waits (struct page *p, struct sync *s, uint64_t lock)
{
  s->left++;
  vec_push (&p->syncs, ((struct sync_wait) { s, lock, p->version }));
}

/* Has neighbouring pages of one writer returned if they were changed.  */
static void
clean (struct coh *o, struct page **run, size_t n, struct sync *s)
{
  if (! n)
    return;
  lock (o, recall_kind (o, 0), writer (o, run[0]->n), run, n);
  for (size_t i = 0; i < n; i++)
    sync_waits (run[i], s, run[i]->locks.v[run[i]->locks.n - 1]->id);
}

void
coh_sync (struct coh *o, coh_token token, struct coh_range r)
{
  r = clip (r);
  struct sync *s = must (calloc (1, sizeof *s));
  s->token = token;
  s->left = 1;
  o->syncs++;
  EACH_ACTIVE (o, r, p)
    {
      if (p->bad)		/* E5 */
	{
	  s->err = first_error (s->err, p->bad);
	  p->bad = 0;
	  touch (o, p);
	}
      if (! p->data || p->n >= o->pages)
	continue;
      if (p->failed)
	store (o, p);		/* E4 */
      sync_waits (p, s, 0);
    }
  VEC (struct page *) pages = { 0 };
  EACH_HELD (o, r, n)
    {
      struct client *c = writer (o, n);
      if (! c)
	continue;
      struct page *p = activate (o, n);
      struct lock *l = recalled (p, c);
      if (l)
	{
	  sync_waits (p, s, l->id);	/* which returns it */
	  continue;
	}
      if (pages.n && (pages.v[pages.n - 1]->n + 1 != n || writer (o, pages.v[0]->n) != c))
	{
	  clean (o, pages.v, pages.n, s);
	  pages.n = 0;
	}
      vec_push (&pages, p);
    }
  clean (o, pages.v, pages.n, s);
  vec_free (&pages);
  run (o);
  synced (o, s, 0);
}

static void
add_op (struct coh *o, coh_token token, struct coh_range r, int write, int closing)
{
  struct op *x = must (calloc (1, sizeof *x));
  x->token = token;
  x->r = r;
  x->write = write;
  x->closing = closing;
  x->seq = ++o->seq;
  vec_push (&o->ops, x);
  o->startable = 1;
  run (o);
}

void
coh_take (struct coh *o, coh_token token, struct coh_range r, int access)
{
  add_op (o, token, clip (r), (access & COH_WRITE) != 0, 0);
}

void
coh_close (struct coh *o, coh_token token)
{
  o->closing = 1;
  add_op (o, token, COH_EVERYTHING, 1, 1);
}

void
coh_release (struct coh *o, coh_token token)
{
  for (size_t i = 0; i < o->ops.n; i++)
    if (o->ops.v[i]->token == token && ! o->ops.v[i]->closing)
      {
	release (o, o->ops.v[i]);
	run (o);
	return;
      }
}

/* Has an op wait for a page.  */
static void
op_waits (struct coh *o, struct op *x, struct page *p)
{
  for (size_t i = 0; i < p->ops.n; i++)
    if (p->ops.v[i] == x)
      return;
  x->left++;
  vec_push (&p->ops, x);
  touch (o, p);
  if (p->failed && ! p->writing && p->data)
    store (o, p);
}

/* Those whose neighbouring pages are locked together.  */
struct runs
{
  VEC (struct client *) order;
};

static void
run_add (struct coh *o, struct runs *runs, struct client *c, struct page *p, enum lock_kind kind)
{
  if (! c->run.n)
    vec_push (&runs->order, c);
  else if (c->run.v[c->run.n - 1]->n + 1 != p->n)
    {
      lock (o, kind, c, c->run.v, c->run.n);
      c->run.n = 0;
    }
  vec_push (&c->run, p);
}

static void
run_end (struct coh *o, struct runs *runs, enum lock_kind kind)
{
  for (size_t i = 0; i < runs->order.n; i++)
    {
      struct client *c = runs->order.v[i];
      lock (o, kind, c, c->run.v, c->run.n);
      vec_free (&c->run);
    }
  vec_free (&runs->order);
}

/* Starts the ops that no earlier one is in the way of (T3).  */
static void
start (struct coh *o)
{
  for (size_t i = 0; i < o->ops.n; i++)
    {
      struct op *x = o->ops.v[i];
      int waiting = x->started;
      for (size_t j = 0; j < i && ! waiting; j++)
	waiting = overlap (o->ops.v[j]->r, x->r) && (x->write || o->ops.v[j]->write);
      if (waiting)
	continue;
      x->started = 1;
      x->left = 1;
      EACH_ACTIVE (o, x->r, p)
	op_waits (o, x, p);
      struct runs runs = { 0 };
      enum lock_kind kind = recall_kind (o, x->write);
      EACH_HELD (o, x->r, n)
	{
	  const struct holding *h = _holding_at (&o->holdings, n);
	  if (_holding_writer (h) < 0 && ! x->write)
	    continue;
	  struct page *p = activate (o, n);
	  op_waits (o, x, p);
	  if (p->queue.n)
	    continue;		/* its turn comes later */
	  for (size_t j = 0; j < h->n; j++)
	    {
	      struct client *c = o->slots.v[SLOT (h->v[j])];
	      if (x->write ? flushed (p, c) : recalled (p, c) != 0)
		continue;
	      run_add (o, &runs, c, p, kind);
	    }
	}
      run_end (o, &runs, kind);
      way (o, x);
    }
}

/* Takes the pages of a range that anybody holds, discarding what is in them.  */
static void
discard_held (struct coh *o, struct coh_range r)
{
  struct runs runs = { 0 };
  EACH_HELD (o, r, n)
    {
      const struct holding *h = _holding_at (&o->holdings, n);
      struct page *p = activate (o, n);
      for (size_t j = 0; j < h->n; j++)
	{
	  struct client *c = o->slots.v[SLOT (h->v[j])];
	  if (! flushed (p, c) || _holding_writer (h) >= 0)
	    run_add (o, &runs, c, p, LOCK_DISCARD);
	}
    }
  run_end (o, &runs, LOCK_DISCARD);
}

/* Forgets all that is in a page.  */
static void
discard_page (struct coh *o, struct page *p)
{
  forget_data (o, p);
  p->bad = 0;
  changed (o, p);
  for (size_t i = 0; i < p->syncs.n; i++)
    synced (o, p->syncs.v[i].s, 0);
  p->syncs.n = 0;
  touch (o, p);
}

void
coh_discard (struct coh *o, struct coh_range r)
{
  r = clip (r);
  EACH_ACTIVE (o, r, p)
    discard_page (o, p);
  discard_held (o, r);
  run (o);
}

void
coh_resize (struct coh *o, int64_t pages)
{
  int64_t old = o->pages;
  o->pages = pages;
  if (pages >= old)
    return;
  struct coh_range beyond = { pages, INT64_MAX - pages };
  EACH_ACTIVE (o, beyond, p)
    {
      touch (o, p);
      for (int parked = 0; parked < 2; parked++)
	{
	  size_t n = parked ? p->parked.n : p->queue.n;
	  for (size_t i = 0; i < n; i++)
	    {
	      struct want w = parked ? p->parked.v[i] : p->queue.v[i];
	      w.c->waiting--;
	      if (w.kind != WANT_UNLOCK)
		fail_want (o, p, w, COH_EBEYOND);
	    }
	}
      p->queue.n = p->parked.n = 0;
      discard_page (o, p);
    }
  discard_held (o, beyond);
  run (o);
}

void
coh_set_attributes (struct coh *o, struct coh_attributes a)
{
  o->config.attributes = a;
  for (size_t i = 0; i < o->clients.n; i++)
    act (o, COH_CHANGE_ATTRIBUTES, o->clients.v[i])->attributes = a;
}

int
coh_offer (struct coh *o, int64_t n, coh_data d)
{
  if (o->closing || n < 0 || n >= o->pages || ! coh_at_rest (o, n) || blocked (o, n, 1, o->seq + 1))
    return 0;
  deposit (o, activate (o, n), d);
  run (o);
  return 1;
}

int
coh_at_rest (struct coh *o, int64_t n)
{
  return ! active (o, n) && _holding_at (&o->holdings, n)->n == 0;
}

int
coh_clients (struct coh *o)
{
  return o->clients.n;
}

int
coh_idle (struct coh *o)
{
  return (! o->clients.n && ! o->active.n && ! o->ops.n && ! o->syncs && ! o->actions.n
	  && ! o->discards.n);
}

void
coh_free (struct coh *o, void (*give_back) (void *arg, coh_data d), void *arg)
{
  while (o->clients.n)
    forget (o, o->clients.v[0], 1);
  size_t n;
  int64_t *list = _active_in (o, COH_EVERYTHING, &n);
  for (size_t i = 0; i < n; i++)
    {
      struct page *p = active (o, list[i]);
      if (p->writing)
	give_back (arg, p->writing);
      if (p->data && p->data != p->writing)
	give_back (arg, p->data);
      if (p->fresh)
	give_back (arg, p->fresh);
      for (size_t j = 0; j < p->syncs.n; j++)
	if (--p->syncs.v[j].s->left == 0)
	  free (p->syncs.v[j].s);
      free_page (p);
    }
  free (list);
  for (size_t i = 0; i < o->discards.n; i++)
    give_back (arg, o->discards.v[i]);
  for (size_t i = 0; i < o->ops.n; i++)
    free (o->ops.v[i]);
  coh_free_actions (o->actions.v, o->actions.n);
  _map_free (&o->active);
  vec_free (&o->clients);
  vec_free (&o->slots);
  vec_free (&o->touched);
  vec_free (&o->ops);
  vec_free (&o->recent);
  vec_free (&o->discards);
  _holdings_free (&o->holdings);
  free (o);
}
