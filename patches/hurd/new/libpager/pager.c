/* A pager for several kernels: what is done about what the coherent object says,
   and the calls of its user.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later  */

#include <errno.h>
#include <mach/notify.h>
#include <time.h>

#include "priv.h"

/* In milliseconds: how long a kernel keeps a page that it has asked for (P2), how long
   it may take to answer or to take a message (P4), when one whose queue is full is tried
   again, and how long changed attributes are waited for.  */
#define HOLD 10
#define ANSWER 45000
#define RETRY 20
#define ATTRIBUTES 5000
#define FAREWELL 5000

/* Kernels that are let in or refused, at a time.  */
#define MAX_KERNELS 2048

struct port_class *_pager_class;
static struct port_class *readonly_class;

static void readonly_clean (void *ro);
static void readonly_dropweak (void *ro);

static void __attribute__ ((constructor))
make_classes (void)
{
  _pager_class = ports_create_class (_pager_clean, _pager_real_dropweak);
  readonly_class = ports_create_class (readonly_clean, readonly_dropweak);
}

/* Entrances.  */

struct entrance *
_pager_entrance_of_port (mach_port_t port)
{
  struct pager *p = ports_lookup_port (0, port, _pager_class);
  struct readonly *ro = p ? 0 : ports_lookup_port (0, port, readonly_class);
  return p ? &p->own : ro ? &ro->entrance : 0;
}

struct entrance *
_pager_entrance_of_payload (uintptr_t payload)
{
  struct pager *p = ports_lookup_payload (0, payload, _pager_class);
  struct readonly *ro = p ? 0 : ports_lookup_payload (0, payload, readonly_class);
  return p ? &p->own : ro ? &ro->entrance : 0;
}

static struct pager *
pager_by (struct entrance *by)
{
  struct pager *p = by ? by->pager : 0;
  if (p && by != &p->own)
    {
      ports_port_ref (p);
      ports_port_deref (by->port);
    }
  return p;
}

struct pager *
_pager_of_port (mach_port_t port)
{
  return pager_by (_pager_entrance_of_port (port));
}

struct pager *
_pager_of_payload (uintptr_t payload)
{
  return pager_by (_pager_entrance_of_payload (payload));
}

/* Of each pager's readonly.  Ports end with their pager's lock held or not.  */
static pthread_mutex_t readonly_lock = PTHREAD_MUTEX_INITIALIZER;

/* The entrance for reading, with a reference, or null; it is made if that is wanted.  */
static struct readonly *
readonly_of (struct pager *p, int make)
{
  struct port_bucket *bucket;
  pthread_mutex_lock (&readonly_lock);
  struct readonly *ro = p->readonly;
  if (ro)
    ports_port_ref (ro);
  else if (make && (bucket = _pager_readonly_bucket (p)))
    {
      errno = ports_create_port (readonly_class, bucket, sizeof *ro, &ro);
      if (errno)
	ro = 0;
      else
	{
	  ports_port_ref (p);
	  ro->entrance = (struct entrance) { .port = &ro->port, .pager = p };
	  ports_port_ref_weak (ro);
	  p->readonly = ro;
	}
    }
  pthread_mutex_unlock (&readonly_lock);
  return ro;
}

/* Nobody has it any more but the pager; or somebody again, who is left with one that is
   not handed out.  */
static void
readonly_dropweak (void *arg)
{
  struct readonly *ro = arg;
  pthread_mutex_lock (&readonly_lock);
  int handed_out = ro->entrance.pager->readonly == ro;
  if (handed_out)
    ro->entrance.pager->readonly = 0;
  pthread_mutex_unlock (&readonly_lock);
  if (handed_out)
    ports_port_deref_weak (ro);
}

static void
readonly_clean (void *arg)
{
  struct readonly *ro = arg;
  ports_port_deref (ro->entrance.pager);
}

/* Data.  */

static void
unref (struct datum *d)
{
  if (--d->refs)
    return;
  munmap ((void *) d->page, vm_page_size);
  free (d);
}

static void
give_back (void *arg, coh_data d)
{
  (void) arg;
  unref (d);
}

static intptr_t
mark_of (struct pager *p, int64_t n)
{
  return (intptr_t) _map_get (&p->marks, n);
}

static void
set_mark (struct pager *p, int64_t n, intptr_t mark)
{
  _map_put (&p->marks, n, (void *) mark);
}

static void
set_error (struct pager *p, int64_t n, int err)
{
  /* Anybody can ask for pages that there are not.  */
  if (err == 0 || p->marks.n < MAX_MARKS)
    set_mark (p, n, (mark_of (p, n) & (MARK_ERROR - 1)) | err * MARK_ERROR);
}

/* Kernels.  */

struct kernel *
_pager_any_kernel (struct pager *p, mach_port_t control)
{
  for (size_t i = 0; i < p->kernels.n; i++)
    if (p->kernels.v[i]->control == control)
      return p->kernels.v[i];
  return 0;
}

struct kernel *
_pager_kernel (struct pager *p, mach_port_t control)
{
  struct kernel *k = _pager_any_kernel (p, control);
  return k && ! k->deaf && k->by == p->from ? k : 0;
}

static struct kernel *
kernel_of (struct pager *p, coh_client id)
{
  for (size_t i = 0; i < p->kernels.n; i++)
    if (p->kernels.v[i]->id == id)
      return p->kernels.v[i];
  return 0;
}

static void
free_message (struct message *m)
{
  for (int64_t i = 0; m->a.data && i < m->a.range.n; i++)
    unref (m->a.data[i]);
  free (m->a.data);
}

static void
free_kernel (struct kernel *k)
{
  mach_port_t old = MACH_PORT_NULL;
  if (k->watched)
    {
      error_t err = mach_port_request_notification (mach_task_self (), k->control,
						    MACH_NOTIFY_DEAD_NAME, 0, MACH_PORT_NULL,
						    MACH_MSG_TYPE_MAKE_SEND_ONCE, &old);
      /* If the notice has been sent, it has a reference of its own.  If not, the end of the
	 right to send it is told in its place.  */
      if (err || old == MACH_PORT_NULL)
	mach_port_deallocate (mach_task_self (), k->control);
      else if (old != MACH_PORT_DEAD)
	mach_port_deallocate (mach_task_self (), old);
      if (k->heard || k->by->closed)
	ports_port_deref (k->by->port);	/* the caller has one to the pager, too */
      else
	k->by->late++;
    }
  kern_return_t (*end) (mach_port_t, mach_port_t)
    = k->terminated ? mach_port_destroy : mach_port_deallocate;
  end (mach_task_self (), k->control);
  if (MACH_PORT_VALID (k->name))
    end (mach_task_self (), k->name);
  for (size_t i = 0; i < k->out.n; i++)
    free_message (&k->out.v[i]);
  vec_free (&k->out);
  free (k);
}

/* Forgets a kernel, of which the coherent object knows nothing any more.  If it is
   terminated, its rights are receive rights now.  */
void
_pager_remove_kernel (struct pager *p, struct kernel *k, int terminated)
{
  for (size_t i = 0; i < p->kernels.n; i++)
    if (p->kernels.v[i] == k)
      {
	vec_remove (&p->kernels, i);
	break;
      }
  k->terminated = terminated;
  k->gone = 1;
  p->dying -= k->dead;
  pthread_cond_broadcast (&p->wakeup);	/* who waits for its attributes */
  if (! k->sending)
    free_kernel (k);
}

/* Has a kernel that cannot be let in told so.  It is no client of the object's.  */
void
_pager_refuse_kernel (struct pager *p, mach_port_t control, mach_port_t name)
{
  struct kernel *k = must (calloc (1, sizeof *k));
  k->control = control;
  k->name = name;
  k->deaf = 1;
  if (p->kernels.n >= MAX_KERNELS)
    {
      free_kernel (k);
      return;
    }
  vec_push (&p->kernels, k);
  struct message *m = vec_add (&k->out);
  memset (m, 0, sizeof *m);
  m->a.what = COH_CUT;
}

/* The message has come that ends the watch over a kernel that is gone already.  */
static void
late (struct entrance *by)
{
  if (! by->late)
    return;
  by->late--;
  ports_port_deref (by->port);	/* the message has a reference, too */
}

void
_pager_late (struct entrance *by)
{
  pthread_mutex_lock (&by->pager->lock);
  late (by);
  pthread_mutex_unlock (&by->pager->lock);
}

/* A kernel is dead.  What it has said before is taken first.  */
void
_pager_dead_name (struct entrance *by, mach_port_t name)
{
  mach_port_status_t status;
  struct pager *p = by->pager;
  pthread_mutex_lock (&p->lock);
  struct kernel *k = _pager_any_kernel (p, name);
  if (k && k->by != by)
    k = 0;			/* that is not true */
  else if (k)
    k->heard = 1;
  else
    late (by);
  if (k && ! k->dead
      && mach_port_get_receive_status (mach_task_self (), by->port->port_right, &status) == 0)
    {
      k->dead = 1;
      k->last = status.mps_seqno + status.mps_msgcount - 1;
      p->dying++;
    }
  pthread_mutex_unlock (&p->lock);
}

/* The message of that number has been taken, and all before it.  */
void
_pager_served (struct entrance *by, mach_port_seqno_t number)
{
  struct pager *p = by->pager;
  pthread_mutex_lock (&p->lock);
  int dying = p->dying;
  pthread_mutex_unlock (&p->lock);
  if (! dying)
    return;
  _pager_begin (p);
  for (size_t i = 0; i < p->kernels.n;)
    {
      struct kernel *k = p->kernels.v[i];
      if (k->dead && k->by == by && (int) (number - k->last) >= 0)
	{
	  coh_gone (p->coh, k->id);
	  _pager_remove_kernel (p, k, 0);
	}
      else
	i++;
    }
  _pager_end (p);
}

/* Whether a message may keep its sender: kernels carry them out in the sender's thread.  */
static int
lasts (const struct message *m)
{
  return m->a.what == COH_LOCK || m->a.what == COH_TERMINATE || m->a.what == COH_CUT;
}

/* The next kernel that can be told something; quickly, if that is wanted.  */
static struct kernel *
next_kernel (struct pager *p, int quickly)
{
  for (size_t i = 0; i < p->kernels.n; i++)
    {
      struct kernel *k = p->kernels.v[i];
      if (k->out.n && ! k->slow && ! k->sending && ! (quickly && lasts (&k->out.v[0])))
	return k;
    }
  return 0;
}

/* Tells kernels what they are to be told.  One thread at a time does for each of
   them (C1).  */
static void
tell_kernels (struct pager *p, int quickly)
{
  struct kernel *k;
  while ((k = next_kernel (p, quickly)))
    {
      struct message m = k->out.v[0];
      vec_remove (&k->out, 0);
      k->sending = 1;
      if (lasts (&m) && next_kernel (p, 0))
	_pager_schedule (p, TASK_SEND);	/* the others do not wait for this one */
      mach_port_t control = k->control, reply = MACH_PORT_NULL;
      if ((m.attributes_reply || m.a.reply) && ! k->by->closed)
	reply = ports_get_send_right (k->by->port);	/* behind what it has said before (K9) */
      pthread_mutex_unlock (&p->lock);
      error_t err = _pager_tell (control, &m, reply);
      pthread_mutex_lock (&p->lock);
      k->sending = 0;
      if (err == MACH_SEND_TIMED_OUT && ! k->gone)
	{
	  vec_add (&k->out);
	  memmove (k->out.v + 1, k->out.v, (k->out.n - 1) * sizeof *k->out.v);
	  k->out.v[0] = m;
	  k->slow = 1;
	  coh_tick now = _pager_now ();
	  if (! k->since)
	    k->since = now;
	  _pager_watch (p, now + RETRY);
	  continue;
	}
      k->since = 0;
      if (m.attributes_reply && err)
	{
	  k->attributes--;
	  pthread_cond_broadcast (&p->wakeup);
	}
      free_message (&m);
      if (k->gone)
	free_kernel (k);
      else if (k->deaf && ! k->out.n)
	_pager_remove_kernel (p, k, 0);
    }
  /* What was said to a kernel meanwhile has nobody else: it had a sender, this one.  */
  if (quickly && next_kernel (p, 0))
    _pager_schedule (p, TASK_SEND);
}

void
_pager_send (struct pager *p)
{
  pthread_mutex_lock (&p->lock);
  tell_kernels (p, 0);
  pthread_mutex_unlock (&p->lock);
}

/* Tries those again whose queues were full, and parts with those for whom that has
   lasted too long.  */
static void
look_at_slow (struct pager *p)
{
  coh_tick now = 0;
  for (size_t i = 0; i < p->kernels.n;)
    {
      struct kernel *k = p->kernels.v[i];
      if (k->slow)
	{
	  k->slow = 0;
	  now = now ? now : _pager_now ();
	  if (k->since + ANSWER <= now)
	    {
	      coh_gone (p->coh, k->id);
	      _pager_remove_kernel (p, k, 0);
	      continue;
	    }
	}
      i++;
    }
}

/* Whether the object is to be told of the time, and when next.  It stands still while there is
   one kernel: nobody else waits for it then, and it is not cut off, however long it takes.  But
   the user, too, waits until the kernel has had a page for some time.  */
static int
time_passes (struct pager *p, coh_tick *next)
{
  int known = coh_next (p->coh, next);
  return coh_clients (p->coh) > 1 || (known && *next <= p->time + HOLD);
}

/* Tells the object the time.  */
static void
tick (struct pager *p)
{
  coh_tick next = 0, now = time_passes (p, &next) ? _pager_now () : 0;
  if (now && p->looked)
    {
      coh_tick passed = now - p->looked;
      if (coh_clients (p->coh) <= 1 && passed > next - p->time)
	passed = next > p->time ? next - p->time : 0;
      p->time += passed;
    }
  p->looked = now;
  if (now)
    coh_ticked (p->coh, p->time);
}

/* The store, which is the user's.  */

/* Asks the user whether a page may be written to, with the lock let go.  */
static error_t
allow_write (struct pager *p, int64_t n)
{
  pthread_mutex_unlock (&p->lock);
  error_t err = pager_unlock_page (p->upi, n * vm_page_size);
  pthread_mutex_lock (&p->lock);
  if (! err)
    set_mark (p, n, mark_of (p, n) & ~MARK_LOCKED);
  return err;
}

static int
all_zero (vm_address_t page)
{
  const char *c = (const char *) page;
  return c[0] == 0 && memcmp (c, c + 1, vm_page_size - 1) == 0;
}

/* What a page is that has been a hole, and may be written to, but has not been: the user would
   take it from where it is to be.  */
static error_t
zero_page (vm_address_t *page)
{
  void *p = mmap (0, vm_page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *page = (vm_address_t) p;
  return p == MAP_FAILED ? ENOMEM : 0;
}

static void
do_load (struct pager *p, int64_t n)
{
  vm_address_t page = 0;
  int locked = 0, zero = (mark_of (p, n) & (MARK_ZERO | MARK_LOCKED)) == MARK_ZERO;
  pthread_mutex_unlock (&p->lock);
  error_t err = zero ? zero_page (&page) : pager_read_page (p->upi, n * vm_page_size, &page, &locked);
  if (! err && locked)
    zero = all_zero (page);
  pthread_mutex_lock (&p->lock);
  intptr_t mark = mark_of (p, n);
  int allowed = mark & MARK_ALLOWED;
  if (! err)
    mark &= ~(MARK_LOCKED | MARK_ZERO);
  mark &= ~MARK_ALLOWED;
  set_mark (p, n, err ? mark : mark | (locked ? MARK_LOCKED : 0) | (zero ? MARK_ZERO : 0));
  struct datum *d = 0;
  if (! err)
    {
      d = must (malloc (sizeof *d));
      d->page = page;
      d->refs = 1;
      if (locked && allowed)
	err = allow_write (p, n);
    }
  if (err)
    set_error (p, n, err);
  tick (p);
  if (err && d)
    unref (d);
  coh_data data = d;
  coh_loaded (p->coh, (struct coh_range) { n, 1 }, &data, err ? 0 : 1, err);
}

static void
do_store (struct pager *p, struct job *j)
{
  error_t *errs = must (calloc (j->n, sizeof *errs));
  pthread_mutex_unlock (&p->lock);
  for (size_t i = 0; i < j->n;)
    {
      /* Pages that follow each other in memory go together, if the user can.  */
      size_t k = 1, done = 0;
      while (i + k < j->n && j->data[i + k]->page == j->data[i]->page + k * vm_page_size)
	k++;
      vm_offset_t offset = (j->first + i) * vm_page_size;
      vm_size_t written = 0;
      if (k > 1)
	{
	  error_t err = pager_write_pages (p->upi, offset, j->data[i]->page, k * vm_page_size,
					   &written);
	  done = err == EOPNOTSUPP ? 0 : written / vm_page_size;
	  if (done > k)
	    done = k;
	}
      for (; done < k; done++)
	errs[i + done] = pager_write_page (p->upi, offset + done * vm_page_size,
					   j->data[i + done]->page);
      i += k;
    }
  pthread_mutex_lock (&p->lock);
  tick (p);
  for (size_t i = 0; i < j->n; i++)
    {
      set_error (p, j->first + i, errs[i]);
      if (! errs[i])
	set_mark (p, j->first + i, mark_of (p, j->first + i) & ~MARK_ZERO);
      coh_stored (p->coh, (struct coh_range) { j->first + i, 1 }, errs[i]);
    }
  free (errs);
  free (j->data);
}

static void
do_reserve (struct pager *p, int64_t n)
{
  error_t err = allow_write (p, n);
  if (err)
    set_error (p, n, err);
  tick (p);
  coh_reserved (p->coh, n, err);
}

static void
do_evict (struct pager *p, int64_t n)
{
  if (! coh_at_rest (p->coh, n))
    {
      /* Somebody has asked for it; when it is done with it, it is said again.  */
      set_mark (p, n, mark_of (p, n) & ~MARK_EVICTED);
      return;
    }
  /* What was wrong with it is no more, and the user will be asked for it again.  */
  set_mark (p, n, mark_of (p, n) & MARK_LOCKED ? 0 : mark_of (p, n) & MARK_ZERO);
  pthread_mutex_unlock (&p->lock);
  pager_notify_evict (p->upi, n * vm_page_size);
  pthread_mutex_lock (&p->lock);
}

static void
answered (struct pager *p, coh_token token, int err)
{
  for (struct waiter *w = p->waiters; w; w = w->next)
    if (w->token == token)
      {
	w->done = 1;
	w->err = err;
	pthread_cond_broadcast (&p->wakeup);
      }
}

static void
do_jobs (struct pager *p)
{
  p->storing = 1;
  while (p->jobs.n)
    {
      struct job j = p->doing = p->jobs.v[0];
      vec_remove (&p->jobs, 0);
      p->count.loaded += j.kind == JOB_LOAD ? j.n : 0;
      p->count.stored += j.kind == JOB_STORE ? j.n : 0;
      switch (j.kind)
	{
	case JOB_LOAD:
	  for (size_t i = 0; i < j.n; i++)
	    do_load (p, j.first + i);
	  break;
	case JOB_STORE:
	  do_store (p, &j);
	  break;
	case JOB_RESERVE:
	  do_reserve (p, j.first);
	  break;
	case JOB_EVICT:
	  do_evict (p, j.first);
	  break;
	case JOB_ANSWER:
	  answered (p, j.token, j.err);
	  break;
	}
      p->doing = (struct job) { .kind = JOB_ANSWER };
      if (p->waiters)
	pthread_cond_broadcast (&p->wakeup);
      _pager_after (p);
      /* What wants an answer from a kernel may keep its sender until the kernel has
	 written pages back: that is not for this thread.  */
      tell_kernels (p, 1);
    }
  p->storing = 0;
}

/* Does what the store is asked to do, one thing at a time: users rely on that.  */
void
_pager_store (struct pager *p)
{
  pthread_mutex_lock (&p->lock);
  if (! p->storing)
    do_jobs (p);
  pthread_mutex_unlock (&p->lock);
}

/* What the coherent object says.  */

static void
add_job (struct pager *p, enum job_kind kind, int64_t first, size_t n, struct datum **data)
{
  struct job *j = vec_add (&p->jobs);
  *j = (struct job) { .kind = kind, .first = first, .n = n, .data = data };
}

/* Messages with data, of pages that follow each other in memory.  */
static void
add_supplies (struct pager *p, struct kernel *k, struct coh_action *a)
{
  struct datum **d = (struct datum **) a->data;
  for (int64_t i = 0, n; i < a->range.n; i += n)
    {
      n = 1;
      while (i + n < a->range.n && d[i + n]->page == d[i]->page + n * vm_page_size)
	n++;
      struct message *m = vec_add (&k->out);
      memset (m, 0, sizeof *m);
      m->a = *a;
      m->a.range = (struct coh_range) { a->range.first + i, n };
      p->count.supplied += n;
      k->supplied += n;
      if (p->count.most < k->supplied)
	p->count.most = k->supplied;
      m->a.data = must (malloc (n * sizeof *m->a.data));
      for (int64_t j = 0; j < n; j++)
	{
	  m->a.data[j] = d[i + j];
	  if (! a->final)	/* else it is the message's alone */
	    d[i + j]->refs++;
	  set_mark (p, a->range.first + i + j,
		    mark_of (p, a->range.first + i + j) & (MARK_LOCKED | MARK_EVICTED | MARK_ZERO));
	}
    }
}

static void
do_action (struct pager *p, struct coh_action *a)
{
  struct kernel *k = a->client ? kernel_of (p, a->client) : 0;
  switch (a->what)
    {
    case COH_LOAD:
      add_job (p, JOB_LOAD, a->range.first, a->range.n, 0);
      return;
    case COH_STORE:
      add_job (p, JOB_STORE, a->range.first, a->range.n, (struct datum **) a->data);
      a->data = 0;
      return;
    case COH_RESERVE:
      /* The user is asked only about pages of which it has said so when they were read;
	 if that has not been yet, it is asked then.  */
      if (mark_of (p, a->range.first) & MARK_LOCKED)
	add_job (p, JOB_RESERVE, a->range.first, 1, 0);
      else
	{
	  set_mark (p, a->range.first, mark_of (p, a->range.first) | MARK_ALLOWED);
	  coh_reserved (p->coh, a->range.first, 0);
	}
      return;
    case COH_DISCARD:
      unref (a->data[0]);
      return;
    case COH_GRANTED:
      /* The pages are nobody's now: that is all that was wanted.  */
      coh_release (p->coh, a->token);
      if (p->notify_on_evict)	/* the user has been told of the evictions then */
	vec_push (&p->answers, ((struct job) { .kind = JOB_ANSWER, .token = a->token, .err = a->err }));
      else
	answered (p, a->token, a->err);
      return;
    case COH_SYNCED:
    case COH_CLOSED:
      answered (p, a->token, a->err);
      return;
    case COH_SUPPLY:
      if (k)
	add_supplies (p, k, a);
      else if (a->final)
	for (int64_t i = 0; i < a->range.n; i++)
	  unref (a->data[i]);
      return;
    default:
      break;
    }
  if (! k)
    return;
  if (a->what == COH_TERMINATE || a->what == COH_CUT)
    k->deaf = 1;
  p->count.locks += a->what == COH_LOCK;
  p->count.failed += a->what == COH_FAIL ? a->range.n : 0;
  if (a->what == COH_FAIL)
    for (int64_t i = 0; i < a->range.n; i++)
      if (a->err != COH_EREADONLY && mark_of (p, a->range.first + i) < MARK_ERROR)
	set_error (p, a->range.first + i, a->err > 0 ? a->err : EIO);
  if (a->what == COH_LOCK && ! a->reply)	/* it may write now */
    set_mark (p, a->range.first, mark_of (p, a->range.first) & ~MARK_ALLOWED);
  struct message *m = vec_add (&k->out);
  memset (m, 0, sizeof *m);
  m->a = *a;
  if (a->what == COH_CHANGE_ATTRIBUTES)
    {
      m->attributes_reply = 1;
      k->attributes++;
    }
}

void
_pager_begin (struct pager *p)
{
  pthread_mutex_lock (&p->lock);
  look_at_slow (p);
  tick (p);
}

/* Puts what is to be done into queues, and has workers look at them.  */
void
_pager_after (struct pager *p)
{
  struct coh_action *a;
  size_t n;
  while ((a = coh_actions (p->coh, &n)))
    {
      for (size_t i = 0; i < n; i++)
	do_action (p, &a[i]);
      coh_free_actions (a, n);
    }
  size_t left = 0;
  for (size_t i = 0; i < p->evicted.n; i++)
    if (coh_at_rest (p->coh, p->evicted.v[i]))
      add_job (p, JOB_EVICT, p->evicted.v[i], 1, 0);
    else
      p->evicted.v[left++] = p->evicted.v[i];
  p->evicted.n = left;
  for (size_t i = 0; i < p->answers.n; i++)
    vec_push (&p->jobs, p->answers.v[i]);
  p->answers.n = 0;

  if (! p->storing && p->jobs.n)
    _pager_schedule (p, TASK_STORE);
  if (next_kernel (p, 0))
    _pager_schedule (p, TASK_SEND);
  coh_tick at;
  if (time_passes (p, &at) && coh_next (p->coh, &at))
    {
      coh_tick now = _pager_now ();
      if (! p->looked)
	p->looked = now;
      _pager_watch (p, now + (at > p->time ? at - p->time : 1));
    }
}

void
_pager_end (struct pager *p)
{
  _pager_after (p);
  pthread_mutex_unlock (&p->lock);
}

/* The user's calls.  */

/* Whether messages of a kernel may come in another order (K9).  */
static int
several_processors (void)
{
  static int known = -1;
  if (known < 0)
    {
      host_basic_info_data_t info;
      mach_msg_type_number_t n = HOST_BASIC_INFO_COUNT;
      /* The right is the C library's, not a reference of ours.  */
      known = host_info (mach_host_self (), HOST_BASIC_INFO, (host_info_t) &info, &n) == 0
	      && info.avail_cpus > 1;
    }
  return known;
}

/* Tasks of a pager have a reference to it.  */
static void
run_receive (struct task *t)
{
  struct pager *p = ((struct pager_task *) t)->pager;
  _pager_receive (p);
  ports_port_deref (p);
}

static void
run_send (struct task *t)
{
  struct pager *p = ((struct pager_task *) t)->pager;
  _pager_send (p);
  ports_port_deref (p);
}

static void
run_store (struct task *t)
{
  struct pager *p = ((struct pager_task *) t)->pager;
  _pager_store (p);
  ports_port_deref (p);
}

static void
run_tick (struct task *t)
{
  struct pager *p = ((struct pager_task *) t)->pager;
  _pager_begin (p);
  _pager_end (p);
  ports_port_deref (p);
}

static struct pager *
create (struct user_pager_info *upi, struct port_bucket *bucket, boolean_t may_cache,
	memory_object_copy_strategy_t copy, boolean_t notify_on_evict)
{
  struct pager *p;
  errno = ports_create_port (_pager_class, bucket, sizeof *p, &p);
  if (errno)
    return 0;
  memset ((char *) p + sizeof p->port, 0, sizeof *p - sizeof p->port);
  p->own = (struct entrance) { .port = &p->port, .pager = p };
  p->upi = upi;
  p->requests = _pager_requests_of (bucket);
  p->notify_on_evict = notify_on_evict;
  p->attributes = (struct coh_attributes) { may_cache, copy };
  pthread_mutex_init (&p->lock, 0);
  pthread_cond_init (&p->wakeup, 0);
  p->in_tail = &p->in;
  p->tasks[TASK_RECEIVE] = (struct pager_task) { .task.run = run_receive, .pager = p };
  p->tasks[TASK_SEND] = (struct pager_task) { .task.run = run_send, .pager = p };
  p->tasks[TASK_STORE] = (struct pager_task) { .task.run = run_store, .pager = p };
  p->tasks[TASK_TICK] = (struct pager_task) { .task.run = run_tick, .pager = p };
  struct coh_config c = {
    /* What is beyond the end, the user says when it is asked for it.  */
    .pages = (int64_t) (~(vm_offset_t) 0 / vm_page_size) + 1,
    .attributes = p->attributes,
    .order = several_processors () ? COH_WEAK : COH_FIFO,
    .hold = HOLD, .answer = ANSWER, .reserve = 1, .precious = notify_on_evict,
  };
  p->coh = coh_new (&c);
  return p;
}

struct pager *
pager_create (struct user_pager_info *upi, struct port_bucket *bucket, boolean_t may_cache,
	      memory_object_copy_strategy_t copy, boolean_t notify_on_evict)
{
  return create (upi, bucket, may_cache, copy, notify_on_evict);
}

struct pager *
pager_create_alloc (size_t size, struct port_bucket *bucket, boolean_t may_cache,
		    memory_object_copy_strategy_t copy, boolean_t notify_on_evict)
{
  /* Not with the pager: it may be needed longer.  */
  struct user_pager_info *upi = calloc (1, size ? size : 1);
  struct pager *p = upi ? create (upi, bucket, may_cache, copy, notify_on_evict) : 0;
  if (p)
    p->own_upi = 1;
  else
    free (upi);
  return p;
}

struct user_pager_info *
pager_get_upi (struct pager *p)
{
  return p->upi;
}

mach_port_t
pager_get_port (struct pager *p)
{
  return ports_get_right (p);
}

/* A send right of the port for reading, for whatever kernel: a proxy of ours would be of use
   to this one only.  */
mach_port_t
pager_create_ro_port (struct pager *p)
{
  mach_port_t right = MACH_PORT_NULL;
  pthread_mutex_lock (&p->lock);
  struct readonly *ro = p->own.closed ? 0 : readonly_of (p, 1);
  if (ro)
    {
      right = ports_get_send_right (ro);
      ports_port_deref (ro);	/* the right has one */
    }
  else if (p->own.closed)
    errno = EIO;
  pthread_mutex_unlock (&p->lock);
  return right;
}

static struct timespec
from_now (coh_tick ms)
{
  struct timespec t;
  clock_gettime (CLOCK_REALTIME, &t);
  t.tv_sec += ms / 1000;
  return t;
}

enum call { SYNC, RETURN, FLUSH, CLOSE };

/* The user is to be asked again what is in pages.  */
static void
forget_zeros (struct pager *p, struct coh_range r)
{
  VEC (int64_t) zeros = { 0 };
  for (size_t i = 0; i < p->marks.room; i++)
    if (((intptr_t) p->marks.v[i].value & MARK_ZERO) && p->marks.v[i].key >= r.first
	&& p->marks.v[i].key - r.first < r.n)
      vec_push (&zeros, p->marks.v[i].key);
  for (size_t i = 0; i < zeros.n; i++)
    set_mark (p, zeros.v[i], mark_of (p, zeros.v[i]) & ~MARK_ZERO);
  vec_free (&zeros);
}

/* Whether pages are being read, or asked for leave to write to.  That may be for nobody any
   more: what was wanted has come from a kernel.  */
static int
reads (const struct job *j, struct coh_range r)
{
  return (j->kind == JOB_LOAD || j->kind == JOB_RESERVE) && j->first - r.first < r.n
	 && r.first < j->first + (int64_t) j->n;
}

static int
being_read (struct pager *p, struct coh_range r)
{
  int yes = reads (&p->doing, r);
  for (size_t i = 0; i < p->jobs.n && ! yes; i++)
    yes = reads (&p->jobs.v[i], r);
  return yes;
}

static void
call (struct pager *p, enum call what, struct coh_range r, int wait)
{
  _pager_begin (p);
  if (p->shut)
    {
      _pager_end (p);
      return;
    }
  struct waiter w = { .token = ++p->token };
  if (wait)
    {
      w.next = p->waiters;
      p->waiters = &w;
    }
  switch (what)
    {
    case SYNC:
      coh_sync (p->coh, w.token, r);
      break;
    case FLUSH:
      coh_discard (p->coh, r);
      /* fall through */
    case RETURN:
      coh_take (p->coh, w.token, r, COH_READ | COH_WRITE);
      break;
    case CLOSE:
      p->shut = 1;
      coh_close (p->coh, w.token);
      break;
    }
  _pager_after (p);
  if (wait)
    {
      while (! w.done || (what == FLUSH && being_read (p, r)))
	pthread_cond_wait (&p->wakeup, &p->lock);
      struct waiter **link = &p->waiters;
      while (*link != &w)
	link = &(*link)->next;
      *link = w.next;
    }
  if (what == FLUSH)
    forget_zeros (p, r);
  pthread_mutex_unlock (&p->lock);
}

static struct coh_range
pages (vm_address_t start, vm_size_t length)
{
  int64_t first = start / vm_page_size;
  return (struct coh_range) { first, (int64_t) (((uint64_t) start + length + vm_page_size - 1)
						/ vm_page_size) - first };
}

void
pager_sync (struct pager *p, int wait)
{
  call (p, SYNC, COH_EVERYTHING, wait);
}

void
pager_sync_some (struct pager *p, vm_address_t start, vm_size_t length, int wait)
{
  call (p, SYNC, pages (start, length), wait);
}

void
pager_return (struct pager *p, int wait)
{
  call (p, RETURN, COH_EVERYTHING, wait);
}

void
pager_return_some (struct pager *p, vm_address_t start, vm_size_t length, int wait)
{
  call (p, RETURN, pages (start, length), wait);
}

void
pager_flush (struct pager *p, int wait)
{
  call (p, FLUSH, COH_EVERYTHING, wait);
}

void
pager_flush_some (struct pager *p, vm_address_t start, vm_size_t length, int wait)
{
  call (p, FLUSH, pages (start, length), wait);
}

/* No messages come by it any more.  */
static void
end_messages (struct entrance *by)
{
  ports_destroy_right (by->port);
  pthread_mutex_lock (&by->pager->lock);
  while (by->late)
    late (by);
  pthread_mutex_unlock (&by->pager->lock);
}

void
pager_shutdown (struct pager *p)
{
  call (p, CLOSE, COH_EVERYTHING, 1);
  /* The kernels are to hear of it first.  */
  struct timespec until = from_now (FAREWELL);
  pthread_mutex_lock (&p->lock);
  while (p->kernels.n && pthread_cond_timedwait (&p->wakeup, &p->lock, &until) != ETIMEDOUT)
    ;
  int was_closed = p->own.closed;
  struct readonly *ro = readonly_of (p, 0);
  p->own.closed = 1;
  if (ro)
    ro->entrance.closed = 1;
  pthread_mutex_unlock (&p->lock);
  if (! was_closed)
    end_messages (&p->own);
  if (! was_closed && ro)
    end_messages (&ro->entrance);
  if (ro)
    ports_port_deref (ro);
}

void
pager_offer_page (struct pager *p, int precious, int writelock, vm_offset_t page, vm_address_t buf)
{
  int64_t n = page / vm_page_size;
  struct datum *d = must (malloc (sizeof *d));
  *d = (struct datum) { buf, 1 };
  _pager_begin (p);
  /* What the store has, too, need not be kept.  */
  if (precious && coh_offer (p->coh, n, d))
    d = 0;
  if (writelock)
    set_mark (p, n, mark_of (p, n) | MARK_LOCKED);
  if (d)
    unref (d);
  _pager_end (p);
}

void
pager_change_attributes (struct pager *p, boolean_t may_cache, memory_object_copy_strategy_t copy,
			 int wait)
{
  struct coh_attributes a = { may_cache, copy };
  _pager_begin (p);
  if (a.may_cache != p->attributes.may_cache || a.copy != p->attributes.copy)
    {
      p->attributes = a;
      coh_set_attributes (p->coh, a);
    }
  _pager_after (p);
  struct timespec until = from_now (ATTRIBUTES);
  for (int late = 0; wait && ! late;)
    {
      int left = 0;
      for (size_t i = 0; i < p->kernels.n; i++)
	left += p->kernels.v[i]->attributes;
      if (! left)
	break;
      late = pthread_cond_timedwait (&p->wakeup, &p->lock, &until) == ETIMEDOUT;
    }
  pthread_mutex_unlock (&p->lock);
}

error_t
pager_get_error (struct pager *p, vm_address_t address)
{
  pthread_mutex_lock (&p->lock);
  error_t err = mark_of (p, address / vm_page_size) / MARK_ERROR;
  if (! err && p->marks.n >= MAX_MARKS)
    err = EIO;			/* it may not have been noted */
  pthread_mutex_unlock (&p->lock);
  return err;
}

/* The end.  */

void
_pager_real_dropweak (void *arg)
{
  struct pager *p = arg;
  _pager_unwatch (p);
  pager_dropweak (p->upi);
}

void
_pager_clean (void *arg)
{
  struct pager *p = arg;
  while (p->kernels.n)
    _pager_remove_kernel (p, p->kernels.v[0], 0);
  for (size_t i = 0; i < p->jobs.n; i++)
    free (p->jobs.v[i].data);
  coh_free (p->coh, give_back, 0);
  vec_free (&p->kernels);
  vec_free (&p->jobs);
  vec_free (&p->evicted);
  vec_free (&p->answers);
  _map_free (&p->marks);
  pthread_mutex_destroy (&p->lock);
  pthread_cond_destroy (&p->wakeup);

  /* The user looks at P until this returns: it cannot be done later.  */
  pager_clear_user_data (p->upi);
  if (p->own_upi)
    free (p->upi);
}
