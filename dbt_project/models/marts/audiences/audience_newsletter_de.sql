{{ config(meta={
    'description': 'Readers of the newsletter for Germany.',
    'owner': 'editorial',
    'purpose': 'marketing',
    'channels': ['email'],
}) }}

{{ newsletter_audience('DE') }}
